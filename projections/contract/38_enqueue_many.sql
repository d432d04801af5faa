-- Enqueue many jobs, all or nothing, in one statement: an array of objects with the names of `enqueue`. The offending items' ordinals are in the error's detail.
-- Races: keys are inserted in their order, so two batches with the same keys cannot deadlock; what lost a key is read in a second statement.
-- Given ids are inserted in their order too: of two batches with the same ones the later waits, and is told (`check_given_id` cannot see what is not committed).
-- One plan for all calls: nothing in it hangs on the values, and making it anew cost a small batch four times what it does.
-- Never compiled: before Postgres 18 a kind of plan that is switched off and taken all the same counts as so dear that each call was, for a second, also of one job.
drop function if exists jobledger.enqueue_many;

create function jobledger.enqueue_many(jobs jsonb, actor text default null, strict boolean default false, shard smallint default 0)
returns table (ord int, id uuid, created boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set jit = off
  set enable_nestloop = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_every boolean := jobledger.every_tenant();
  v_mine text[] := case when v_every then '{}' else jobledger.my_tenants() end;
  v_faults jsonb;
  v_lost boolean;
  v_ids uuid[];
  v_new boolean[];
  v_taken int[];
  v_twice boolean;
  v_due text[];
  v_known int[];
  v_named boolean := case jsonb_typeof(enqueue_many.jobs) when 'array' then jsonb_array_length(enqueue_many.jobs) = 1 and pg_current_xact_id_if_assigned() is null end;
begin
  if jsonb_typeof(enqueue_many.jobs) is distinct from 'array' then
    perform jobledger.refuse('JL101', 'jobs is an array of objects, each with at least a kind.', 'Nothing was written; mend the call.');
  end if;
  if jsonb_array_length(enqueue_many.jobs) > 10000 then
    perform jobledger.refuse('JL105', format('The batch has %s jobs; the limit is 10000.', jsonb_array_length(enqueue_many.jobs)), 'Send several batches.');
  end if;
  perform jobledger.check_words(enqueue_many.shard, enqueue_many.actor, null);
  perform jobledger.check_items(enqueue_many.jobs);
  perform jobledger.must_have_partition(v_now);
  with item as materialized (
    select j.*, j.n::int - 1 as ord, coalesce(j.tenant, 'default') as for_tenant, jobledger.new_id(v_now, j.n::int) as new_id
    from rows from (jsonb_to_recordset(enqueue_many.jobs) as (kind text, args jsonb, tenant text, queue text, priority int, run_at timestamptz, kill_at timestamptz,
      timeout int, max_attempts int, owner text, tags text[], meta jsonb, key text, unique_key text, backoff jsonb, trace jsonb, id uuid)) with ordinality
      as j (kind, args, tenant, queue, priority, run_at, kill_at, timeout, max_attempts, owner, tags, meta, key, unique_key, backoff, trace, id, n)
  ), kind_default as materialized (
    select k.kind, known.name is not null or exists (select from jobledger.kinds as a where a.shard = enqueue_many.shard and k.kind = any (a.aliases)) as known,
      known.queue, coalesce(lk.max_attempts, known.max_attempts) as max_attempts, coalesce(lk.timeout, known.timeout) as timeout, coalesce(lk.kill_after, known.kill_after) as kill_after
    from (select distinct kind from item) as k
    left join jobledger.kinds as known on known.shard = enqueue_many.shard and known.name = k.kind
    left join jobledger.limits as lk on lk.shard = enqueue_many.shard and lk.scope = 'kind' and lk.name = k.kind
  ), job as materialized (
    select i.ord, i.kind, coalesce(i.args, '{}') as args, i.for_tenant as tenant, coalesce(i.queue, kd.queue, 'default') as queue, coalesce(i.priority, 0) as priority,
      i.run_at as asked_run_at, coalesce(i.run_at, v_now) as run_at, case when i.run_at > v_now then i.run_at end as later,
      coalesce(i.kill_at, case when coalesce(kd.kill_after, lq.kill_after, lt.kill_after, ls.kill_after) is not null or i.run_at > v_now
        then coalesce(i.run_at, v_now) + make_interval(secs => coalesce(kd.kill_after, lq.kill_after, lt.kill_after, ls.kill_after, 604800)) end) as kill_at,
      case when i.kill_at is not null then 'own' when kd.kill_after is not null then 'kind' when lq.kill_after is not null then 'queue' when lt.kill_after is not null then 'tenant'
        else 'service' end as kill_rule,
      coalesce(i.timeout, kd.timeout, lq.timeout, lt.timeout, ls.timeout, 1800) as timeout,
      coalesce(i.max_attempts, kd.max_attempts, lq.max_attempts, lt.max_attempts, ls.max_attempts, 5) as max_attempts,
      i.owner, i.tags, i.meta, i.key, i.unique_key, i.backoff, i.trace, coalesce(i.id, i.new_id) as id, i.id is not null as own_id,
      coalesce(jobledger.enqueue_fault(i.kind, i.for_tenant, i.queue, i.priority, i.run_at, i.kill_at, i.timeout, i.max_attempts, i.owner, i.tags, i.key, i.unique_key, v_now),
        case when not v_every and i.for_tenant <> all (v_mine) then 'JL400: This role may not enqueue for that tenant.'
          when enqueue_many.strict and not kd.known then 'JL103: No such kind is registered.'
          when pg_column_size(i.args) * 8 > coalesce(ls.args_limit, 262144) and octet_length(i.args::text) > coalesce(ls.args_limit, 262144)
            then format('JL105: args is over its limit of %s bytes of JSON.', coalesce(ls.args_limit, 262144))
          when pg_column_size(i.meta) * 8 > 16384 and octet_length(i.meta::text) > 16384 then 'JL105: meta is over its limit of 16384 bytes of JSON.'
          when pg_column_size(i.backoff) * 8 > 16384 and octet_length(i.backoff::text) > 16384 then 'JL105: backoff is over its limit of 16384 bytes of JSON.'
          when pg_column_size(i.trace) * 8 > 16384 and octet_length(i.trace::text) > 16384 then 'JL105: trace is over its limit of 16384 bytes of JSON.' end) as fault
    from item as i
    left join kind_default as kd on kd.kind = i.kind
    left join jobledger.limits as lq on lq.shard = enqueue_many.shard and lq.scope = 'queue' and lq.name = coalesce(i.queue, kd.queue, 'default')
    left join jobledger.limits as lt on lt.shard = enqueue_many.shard and lt.scope = 'tenant' and lt.name = i.for_tenant
    left join jobledger.limits as ls on ls.shard = enqueue_many.shard and ls.scope = 'service' and ls.name = ''
  ), fault as materialized (
    select jsonb_agg(jsonb_build_array(ord, fault) order by ord) filter (where fault is not null) as list from job
  ), kept as (
    insert into jobledger.idempotency as i (id, expires, shard, tenant, key, hash)
    select id, v_now + interval '24 hours', enqueue_many.shard, tenant, key, jobledger.content_hash(kind, queue, args, owner)
    from (select distinct on (j.tenant collate "C", j.key collate "C") j.* from job as j, fault as f where f.list is null and j.key is not null
      order by j.tenant collate "C", j.key collate "C", j.ord) as first
    on conflict (shard, tenant, key) do update set id = excluded.id, expires = excluded.expires, hash = excluded.hash where i.expires <= v_now
    returning i.id
  ), fresh as materialized (
    select j.* from job as j, fault as f where f.list is null and (j.key is null or j.id in (select k.id from kept as k))
  ), own as materialized (
    select count(jobledger.check_given_id(enqueue_many.shard, f.id, v_now, f.ord)) <> count(distinct f.id) as twice from fresh as f where f.own_id
  ), uniques as (
    insert into jobledger.unique_keys (id, shard, tenant, key)
    select id, enqueue_many.shard, tenant, unique_key from fresh where unique_key is not null order by tenant, unique_key
    on conflict do nothing returning id
  ), mine as (
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    select nextval('jobledger.position'), pg_current_xact_id(), v_now, id, 1, 'job.enqueued', enqueue_many.shard, tenant, enqueue_many.actor,
      jobledger.enqueued_data(kind, args, queue, priority, asked_run_at, kill_at, kill_rule, timeout, max_attempts, owner, tags, meta, key, unique_key, backoff, trace)
    from fresh where own_id and not (select o.twice from own as o) order by id on conflict do nothing returning stream_id
  ), sound as materialized (
    select not o.twice and (select count(*) from fresh as f where f.own_id) = (select count(*) from mine as m) as ids from own as o
  ), logged as (
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    select nextval('jobledger.position'), pg_current_xact_id(), v_now, id, 1, 'job.enqueued', enqueue_many.shard, tenant, enqueue_many.actor,
      jobledger.enqueued_data(kind, args, queue, priority, asked_run_at, kill_at, kill_rule, timeout, max_attempts, owner, tags, meta, key, unique_key, backoff, trace)
    from fresh where not own_id and (select s.ids from sound as s)
  ), placed as (
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    select id, run_at, kill_at, 1, timeout, enqueue_many.shard, priority, 0, max_attempts, 0, tenant, queue, kind, owner, unique_key from fresh where later is null and (select s.ids from sound as s)
  ), delayed as (
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, wake_at)
    select id, run_at, kill_at, 1, timeout, enqueue_many.shard, priority, 0, max_attempts, 0, tenant, queue, kind, owner, unique_key, 'scheduled', later from fresh where later is not null and (select s.ids from sound as s)
  )
  select (select list from fault), coalesce(bool_or(f.id is null), false), array_agg(coalesce(f.id, j.id) order by j.ord), array_agg(f.id is not null order by j.ord),
    array_agg(j.ord order by j.ord) filter (where f.unique_key is not null and f.id not in (select u.id from uniques as u)),
    (select o.twice from own as o), array_agg(j.ord order by j.ord) filter (where f.own_id and f.id not in (select m.stream_id from mine as m)),
    array[min(f.queue) filter (where f.later is null), max(f.queue) filter (where f.later is null),
      min(f.tenant) filter (where f.later is null), max(f.tenant) filter (where f.later is null), min(f.kind) filter (where f.later is null), max(f.kind) filter (where f.later is null)]
  into v_faults, v_lost, v_ids, v_new, v_taken, v_twice, v_known, v_due
  from job as j left join fresh as f on f.ord = j.ord;
  if v_faults is not null then
    perform jobledger.refuse(left(v_faults -> 0 ->> 1, 5), format('Item %s: %s', v_faults -> 0 ->> 0, substr(v_faults -> 0 ->> 1, 8)),
      'All or nothing: nothing was written.', jsonb_build_object('items', (select jsonb_agg((f -> 0)::int) from jsonb_array_elements(v_faults) as f)));
  end if;
  if v_twice then
    perform jobledger.refuse('JL201', 'Items of the batch have the same id.', 'All or nothing: nothing was written.', jsonb_build_object('items', (select jsonb_agg(a.n - 1 order by a.n)
      from unnest(v_ids) with ordinality as a (id, n) where (select count(*) from unnest(v_ids) as b where b = a.id) > 1)));
  end if;
  if v_known is not null then
    perform jobledger.refuse('JL201', format('Item %s: A job of this id exists.', v_known[1]), 'Use an idempotency key to make a call that may be repeated.',
      jsonb_build_object('items', to_jsonb(v_known)));
  end if;
  if v_taken is not null then
    perform jobledger.refuse('JL203', 'Another open job holds the unique key.', 'All or nothing: nothing was written.', jsonb_build_object('items', to_jsonb(v_taken)));
  end if;
  if v_due[1] is not null and exists (select from jobledger.idle as i where i.shard = enqueue_many.shard) then
    perform jobledger.hint(enqueue_many.shard, case when v_due[1] = v_due[2] then v_due[1] end, case when v_due[3] = v_due[4] then v_due[3] end, case when v_due[5] = v_due[6] then v_due[5] end,
      case when v_named then v_ids[1] end);
  end if;
  if v_lost then
    return query select * from jobledger.enqueued_before(enqueue_many.jobs, v_ids, v_new, enqueue_many.shard);
  else
    return query select a.n::int - 1, a.id, true from unnest(v_ids) with ordinality as a (id, n) order by a.n;
  end if;
end
$$;
