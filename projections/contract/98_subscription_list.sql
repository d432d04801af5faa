-- Subscriptions, all (but those of webhooks, which have a list of their own) or by tenant and name, with the place of the slice that is furthest behind and its lag: events of everybody, so it is nothing for a tenant's eyes.
drop function if exists jobledger.subscription_list;

create function jobledger.subscription_list(p_shard smallint, p_tenant text default null, p_name text default null)
returns table (
  id uuid, tenant text, name text, filter text, slices smallint, strict boolean, disabled boolean, max_failures int, backoff_s real, lease_s int, created_at timestamptz, changed_at timestamptz,
  consumers int, aside int, epoch int, block bigint, "position" bigint, lag_events bigint, lag_exact boolean, lag_s double precision
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query
  select s.id, s.tenant, s.name, s.filter::text, s.slices, s.keep_order, s.disabled, s.max_failures, s.backoff_s, s.lease_s, s.created_at, s.changed_at,
    (select count(*)::int from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = s.id and c.lease_until > jobledger.now()),
    (select count(*)::int from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = s.id and a.state <> 'dropped'),
    t.epoch, t.block, t.position, l.events, l.exact, l.seconds
  from jobledger.subscriptions as s
  cross join lateral (select x.* from jobledger.subscription_slices as x where x.shard = p_shard and x.subscription = s.id order by x.block, x.position limit 1) as t
  cross join lateral jobledger.lag_of(p_shard, t.block, t.position) as l
  where s.shard = p_shard and (p_tenant is null or s.tenant = p_tenant) and (case when p_name is null then s.name not like 'webhook:%' else s.name = p_name end) order by s.tenant, s.name;
end
$$;
