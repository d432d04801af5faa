-- The slices of a subscription: checkpoint, lag, and who consumes each.
drop function if exists jobledger.subscription_places;

create function jobledger.subscription_places(p_shard smallint, p_tenant text, p_name text)
returns table (slice smallint, epoch int, block bigint, "position" bigint, moved_at timestamptz, failures int, lag_events bigint, lag_exact boolean, lag_s double precision, consumer uuid, about text, lease_until timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, false);
begin
  return query
  select t.slice, t.epoch, t.block, t.position, t.moved_at, t.failures, l.events, l.exact, l.seconds, c.consumer, c.about, c.lease_until
  from jobledger.subscription_slices as t cross join lateral jobledger.lag_of(p_shard, t.block, t.position) as l
  left join jobledger.subscription_consumers as c on c.shard = p_shard and c.subscription = s.id and c.consumer = t.consumer and c.lease_until > jobledger.now()
  where t.shard = p_shard and t.subscription = s.id order by t.slice;
end
$$;
