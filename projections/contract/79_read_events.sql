-- Events by their keys, in the order of the keys: what read_own found. A key that nobody has gives no row. At most 10,000. Only for who sees every tenant.
drop function if exists jobledger.read_events;

create function jobledger.read_events(p_shard smallint, p_streams uuid[], p_versions int[])
returns table (ord int, shard smallint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set jit = off
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_streams is null or p_versions is null or cardinality(p_streams) > 10000 or cardinality(p_streams) <> cardinality(p_versions) then
    perform jobledger.refuse('JL101', 'A call takes at most 10000 keys of events: as many streams as versions.', 'Ask for them in parts.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query select k.ord::int - 1, e.shard, e.position, e.stream_id, e.version, e.type::text, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text
  from unnest(p_streams, p_versions) with ordinality as k (id, version, ord)
  cross join lateral (select x.* from jobledger.events as x where x.shard = p_shard and x.stream_id = k.id and x.version = k.version offset 0) as e order by k.ord;
end
$$;
