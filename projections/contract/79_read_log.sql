-- The sealed events after a place (epoch, block, position), in the order of the log (block, position): at most `p_limit` of them, from at most 1,000 blocks. Block 0 is the beginning.
-- A last row whose type is null: everything up to its place was looked at, so that a filtered reader moves on; without it the limit was met. Filters: a tenant (then also the
-- heartbeats and rejected reports, which name jobs of many), types, one stream.
-- A place that this log does not have is JL207: behind its end (blocks were lost with the server that sealed them, or an epoch ended before), or before the horizon.
-- A merged block stands for those from `merged_from` on: a place in any of them goes on in it. Of a partition that is being given up nothing is shown before the horizon: some of it may be gone
-- when the next page is read. Only for who sees every tenant: the order tells how much everybody does.
drop function if exists jobledger.read_log;

create function jobledger.read_log(p_shard smallint, p_epoch int, p_block bigint, p_position bigint, p_limit int default 1000, p_tenant text default null, p_types text[] default null, p_stream uuid default null)
returns table (block bigint, epoch int, sealed_at timestamptz, shard smallint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  b jobledger.blocks;
  v_end jobledger.blocks;
  v_after bigint := 0;
  v_left int := p_limit;
  v_got int;
  v_types jobledger.event_type[];
  h jobledger.horizon;
  v_retiring boolean;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_epoch is null or p_block is null or p_position is null or p_limit is null or p_limit not between 1 and 10000 or least(p_epoch, p_block, p_position) < 0 then
    perform jobledger.refuse('JL101', 'A place in the log is epoch, block and position, none below 0; a page has 1 to 10000 events.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  perform jobledger.check_place(p_shard, p_epoch, p_block, p_position);
  select x.* into h from jobledger.horizon as x where x.shard = p_shard;
  v_retiring := exists (select from jobledger.retired as x where x.shard = p_shard and x.dropped_at is null);
  -- By name, so that a type which this version does not know finds nothing.
  v_types := case when p_types is not null then array(select t.t from unnest(enum_range(null::jobledger.event_type)) as t (t) where t.t::text = any (p_types)) end;
  for b in select * from jobledger.blocks as x where x.shard = p_shard and x.block >= p_block order by x.block limit 1000 loop
    v_after := case when coalesce(b.merged_from, b.block) <= p_block then p_position else 0 end;
    continue when v_after >= b.last_position;
    b.epoch := b.epoch + case when b.block <= h.block then h.generation << 20 else 0 end;
    return query
    select b.block, b.epoch, b.sealed_at, f.shard, f.position, f.stream_id, f.version, f.type::text, f.at, f.tenant, f.actor, f.worker, f.attempt, f.data::text from (
      select e.* from jobledger.events as e
      where e.xid >= b.first_xid and e.xid <= b.last_xid and e.position >= greatest(b.first_position, v_after + 1) and e.position <= b.last_position and e.shard + 0 = p_shard
        and (e.xid >= pg_snapshot_xmax(b.since) or not pg_visible_in_snapshot(e.xid, b.since)) and pg_visible_in_snapshot(e.xid, b.snapshot)
      union all
      select e.* from jobledger.events as e
      where e.xid = any (b.late) and e.position >= greatest(b.first_position, v_after + 1) and e.position <= b.last_position and e.shard + 0 = p_shard
    ) as f
    where (p_tenant is null or f.tenant = p_tenant or f.type in ('worker.heartbeat', 'worker.report_rejected')) and (v_types is null or f.type = any (v_types))
      and (p_stream is null or f.stream_id = p_stream or f.type in ('worker.heartbeat', 'worker.report_rejected'))
      and (not v_retiring or b.block > h.block or not jobledger.is_retired(p_shard, f.stream_id))
    order by f.position limit v_left;
    get diagnostics v_got = row_count;
    v_left := v_left - v_got;
    if v_left = 0 then
      return;
    end if;
    v_end := b;
  end loop;
  return query select v_end.block, v_end.epoch, v_end.sealed_at, p_shard, v_end.last_position, null::uuid, null::int, null::text, null::timestamptz, null::text, null::text, null::uuid,
    null::smallint, null::text where v_end.block is not null;
end
$$;
