-- What holds for a new job where its own call is silent: the kind's limit, else what the kind was registered with, else the queue's, the tenant's, the service's.
drop function if exists jobledger.job_defaults;

create function jobledger.job_defaults(p_shard smallint, p_kind text, p_tenant text, p_queue text)
returns table (queue text, max_attempts int, timeout int, kill_after bigint, kill_rule text, args_limit int)
language sql stable
as $$
  select coalesce(p_queue, k.queue, 'default'),
    coalesce(lk.max_attempts, k.max_attempts, lq.max_attempts, lt.max_attempts, ls.max_attempts, 5),
    coalesce(lk.timeout, k.timeout, lq.timeout, lt.timeout, ls.timeout, 1800),
    coalesce(lk.kill_after, k.kill_after, lq.kill_after, lt.kill_after, ls.kill_after),
    case when coalesce(lk.kill_after, k.kill_after) is not null then 'kind' when lq.kill_after is not null then 'queue' when lt.kill_after is not null then 'tenant' else 'service' end,
    coalesce(ls.args_limit, 262144)
  from (select 1) as one
  left join jobledger.kinds as k on k.shard = p_shard and k.name = p_kind
  left join jobledger.limits as lk on lk.shard = p_shard and lk.scope = 'kind' and lk.name = p_kind
  left join jobledger.limits as lq on lq.shard = p_shard and lq.scope = 'queue' and lq.name = coalesce(p_queue, k.queue, 'default')
  left join jobledger.limits as lt on lt.shard = p_shard and lt.scope = 'tenant' and lt.name = p_tenant
  left join jobledger.limits as ls on ls.shard = p_shard and ls.scope = 'service' and ls.name = ''
$$;
