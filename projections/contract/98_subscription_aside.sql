-- What a subscription has set aside, in the order of the log, behind a place: at most `p_limit` rows. An event whose partition was dropped has no type.
drop function if exists jobledger.subscription_aside;

create function jobledger.subscription_aside(p_shard smallint, p_tenant text, p_name text, p_after_block bigint default 0, p_after_position bigint default 0, p_limit int default 100)
returns table (
  epoch int, block bigint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, state text, failures int, error text, first_at timestamptz,
  changed_at timestamptz, changed_by text, reason text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  s jobledger.subscriptions := jobledger.subscription_of(p_shard, p_tenant, p_name, false);
begin
  if coalesce(p_limit not between 1 and 10000, true) or p_after_block is null or p_after_position is null then
    perform jobledger.refuse('JL101', 'A page has 1 to 10000 rows, behind a block and position.', 'Mend the call.');
  end if;
  return query
  select a.epoch, a.block, a.position, a.stream_id, a.version, e.type::text, e.at, e.tenant, a.state, a.failures, a.error, a.first_at, a.changed_at, a.changed_by, a.reason
  from jobledger.subscription_set_aside as a
  left join lateral (select x.type, x.at, x.tenant from jobledger.events as x where x.shard = a.shard and x.stream_id = a.stream_id and x.version = a.version offset 0) as e on true
  where a.shard = p_shard and a.subscription = s.id and (a.block, a.position) > (p_after_block, p_after_position) order by a.block, a.position limit p_limit;
end
$$;
