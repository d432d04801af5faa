-- A page of the log by its primary key, stream after stream, for who verifies it: the events after version `p_version` of stream `p_after` up to stream `p_upto`, at most
-- `p_limit`. `p_lean`: positions alone, for who verifies the order. Only for who sees every tenant.
-- Race: none of its own; the caller reads a stream and its rows in one snapshot.
drop function if exists jobledger.verify_events;

create function jobledger.verify_events(p_shard smallint, p_after uuid, p_version int, p_upto uuid, p_limit int, p_lean boolean default false)
returns table (shard smallint, "position" bigint, stream_id uuid, version int, type text, at timestamptz, tenant text, actor text, worker uuid, attempt smallint, data text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_verify(p_shard, p_limit, num_nulls(p_after, p_version, p_upto, p_lean));
  if p_lean then
    return query select p_shard, e.position, e.stream_id, e.version, null::text, null::timestamptz, null::text, null::text, null::uuid, null::smallint, null::text from jobledger.events as e
      where e.shard = p_shard and e.stream_id >= p_after and e.stream_id <= p_upto and (e.stream_id, e.version) > (p_after, p_version) order by e.shard, e.stream_id, e.version limit p_limit;
  else
    return query select e.shard, e.position, e.stream_id, e.version, e.type::text, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data::text from jobledger.events as e
      where e.shard = p_shard and e.stream_id >= p_after and e.stream_id <= p_upto and (e.stream_id, e.version) > (p_after, p_version) order by e.shard, e.stream_id, e.version limit p_limit;
  end if;
end
$$;
