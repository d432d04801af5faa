-- The jobs that the copy of the live tables is not to be believed about, ascending: those with an event that its snapshot did not see, those with one of the transaction
-- that copied, and those that were repaired since (a repair changes the row and not the stream). Found by the index on `xid`, whatever the planner believes.
create or replace function jobledger.tail_streams(p_shard smallint, p_snapshot pg_snapshot, p_xid xid8) returns uuid[]
language plpgsql stable set enable_seqscan = off set work_mem = '64MB' set plan_cache_mode = force_custom_plan
as $$
begin
  return array(select distinct case e.type when 'store.mismatch_repaired' then (e.data ->> 'job')::uuid else e.stream_id end as id from jobledger.events as e
    where e.shard = p_shard and e.xid >= pg_snapshot_xmin(p_snapshot) and (not pg_visible_in_snapshot(e.xid, p_snapshot) or e.xid = p_xid)
      and (e.type <= 'job.redacted' or e.type = 'store.mismatch_repaired') order by id);
end
$$;
