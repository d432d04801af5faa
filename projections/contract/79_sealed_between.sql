-- The sealed events of the blocks above `p_after` up to `p_upto`, for folds: whole blocks, in no order that may be relied on (order by block, position where it matters).
-- Blocks are read by their numbers and each one's events by the index on `xid`, whatever the planner believes of the tables; no place is checked: projection_take does that.
-- Of a partition that is being given up nothing is shown before the horizon, as in read_log. The rows of one call are gathered before the first is given, so a caller asks for a
-- bounded number of blocks. Only for who sees every tenant.
drop function if exists jobledger.sealed_between;

create function jobledger.sealed_between(p_shard smallint, p_after bigint, p_upto bigint)
returns table (block bigint, epoch int, sealed_at timestamptz, shard smallint, "position" bigint, stream_id uuid, version int, type jobledger.event_type, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
  set enable_material = off set jit = off set work_mem = '64MB' set plan_cache_mode = force_generic_plan rows 20000
as $$
#variable_conflict use_column
declare
  v_hidden bigint := 0;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_after is null or p_upto is null or p_after < 0 then
    perform jobledger.refuse('JL101', 'The bounds are numbers of blocks: above the first, up to the second.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  if exists (select from jobledger.retired as x where x.shard = p_shard and x.dropped_at is null) then
    v_hidden := (select h.block from jobledger.horizon as h where h.shard = p_shard);
  end if;
  return query
  select b.block, b.epoch, b.sealed_at, e.shard, e.position, e.stream_id, e.version, e.type, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data
  from jobledger.blocks as b cross join lateral (
    select x.* from jobledger.events as x
    where x.xid >= b.first_xid and x.xid <= b.last_xid and x.position >= b.first_position and x.position <= b.last_position and x.shard + 0 = p_shard
      and (x.xid >= pg_snapshot_xmax(b.since) or not pg_visible_in_snapshot(x.xid, b.since)) and pg_visible_in_snapshot(x.xid, b.snapshot)
    union all
    select x.* from jobledger.events as x where x.xid = any (b.late) and x.position >= b.first_position and x.position <= b.last_position and x.shard + 0 = p_shard
  ) as e
  where b.shard = p_shard and b.block > p_after and b.block <= p_upto and (b.block > v_hidden or not jobledger.is_retired(p_shard, e.stream_id));
end
$$;
