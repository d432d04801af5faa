-- Which of these events (stream and version, at most 10,000) should lie in a block up to `p_block`: those that its snapshot sees, or below the floor of its epoch. Asked of
-- events that lie in none; what was committed later waits for the next block. Of a difference whose parts are not all written, only the positions that were.
-- Only for who sees every tenant.
drop function if exists jobledger.verify_unsealed;

create function jobledger.verify_unsealed(p_shard smallint, p_block bigint, p_streams uuid[], p_versions int[]) returns table (stream_id uuid, version int, "position" bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  b jobledger.blocks;
  v_floor bigint;
begin
  perform jobledger.check_verify(p_shard, 1, num_nulls(p_block, p_streams, p_versions));
  if cardinality(p_streams) > 10000 or cardinality(p_streams) <> cardinality(p_versions) then
    perform jobledger.refuse('JL101', 'A call takes at most 10000 streams, each with one version.', 'Ask for them in parts.');
  end if;
  select x.* into b from jobledger.blocks as x where x.shard = p_shard and x.block = p_block;
  select e.position_floor into v_floor from jobledger.epochs as e where e.shard = p_shard and e.epoch = b.epoch;
  return query select e.stream_id, e.version, e.position from unnest(p_streams, p_versions) as u (id, version)
    cross join lateral (select x.* from jobledger.events as x where x.shard = p_shard and x.stream_id = u.id and x.version = u.version offset 0) as e
    where e.position <= v_floor or b.first_position > v_floor and (b.part = b.parts or e.position <= b.last_position)
      and e.xid < pg_snapshot_xmax(b.snapshot) and pg_visible_in_snapshot(e.xid, b.snapshot);
end
$$;
