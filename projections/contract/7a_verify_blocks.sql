-- The blocks after `p_after`, at most `p_limit`, each with the positions of the events that its bounds take in, and with what contradicts its neighbour: a block begins where
-- the one before it ended, or at the floor of a new epoch. Blocks before the horizon are `thinned`: retention took events of theirs, and whole ones. Only for who sees every tenant.
drop function if exists jobledger.verify_blocks;

create function jobledger.verify_blocks(p_shard smallint, p_after bigint, p_limit int)
returns table (block bigint, epoch int, sealed_at timestamptz, count int, first_position bigint, last_position bigint, positions bigint[], thinned boolean, fault text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  b jobledger.blocks;
  v_last jobledger.blocks;
  v_horizon bigint;
begin
  perform jobledger.check_verify(p_shard, p_limit, num_nulls(p_after));
  select h.block into v_horizon from jobledger.horizon as h where h.shard = p_shard and h.moved_at is not null;
  select x.* into v_last from jobledger.blocks as x where x.shard = p_shard and x.block <= p_after order by x.block desc limit 1;
  for b in select x.* from jobledger.blocks as x where x.shard = p_shard and x.block > p_after order by x.block limit p_limit loop
    return query
    select b.block, b.epoch, b.sealed_at, b.count, b.first_position, b.last_position, array(
        select e.position from jobledger.events as e
        where e.xid >= b.first_xid and e.xid <= b.last_xid and e.position >= b.first_position and e.position <= b.last_position and e.shard + 0 = p_shard
          and (e.xid >= pg_snapshot_xmax(b.since) or not pg_visible_in_snapshot(e.xid, b.since)) and pg_visible_in_snapshot(e.xid, b.snapshot)
        union all
        select e.position from jobledger.events as e where e.xid = any (b.late) and e.position >= b.first_position and e.position <= b.last_position and e.shard + 0 = p_shard
      ),
      b.block <= v_horizon is true,
      case
        when v_last.block is null or v_last.block <= v_horizon then null
        when b.epoch < v_last.epoch then 'its epoch is over'
        when b.sealed_at < v_last.sealed_at then 'sealed before the block in front of it'
        when b.epoch > v_last.epoch or b.snapshot::text = '9223372036854775807:9223372036854775807:' or v_last.snapshot::text = '9223372036854775807:9223372036854775807:' then null
        when b.part > 1 and (b.part <> v_last.part + 1 or b.parts <> v_last.parts or b.since::text <> v_last.since::text or b.snapshot::text <> v_last.snapshot::text or b.first_position <= v_last.last_position)
          then 'it is not the next part of the block in front of it'
        when b.part = 1 and v_last.part < v_last.parts then 'parts of the block in front of it are missing'
        when b.part = 1 and b.since::text <> v_last.snapshot::text then 'it does not begin where the block in front of it ended'
      end;
    v_last := b;
  end loop;
end
$$;
