-- Put one block in the place of those from `p_from` up to `p_upto`, a run found by merge_blocks, with the events that are left in them; none where there are none. Returns how many rows went.
create or replace function jobledger.merge_run(p_shard smallint, p_from bigint, p_upto bigint, p_count int, p_least bigint, p_least_xid xid8, p_most_xid xid8) returns int
language plpgsql
as $$
declare
  n jobledger.blocks;
  v_first jobledger.blocks;
  v_gone int;
begin
  select b.* into v_first from jobledger.blocks as b where b.shard = p_shard and b.block = p_from;
  select b.* into n from jobledger.blocks as b where b.shard = p_shard and b.block = p_upto;
  perform set_config('jobledger.merging', pg_current_xact_id()::text, true);
  delete from jobledger.blocks as b where b.shard = p_shard and b.block >= p_from and b.block <= p_upto;
  get diagnostics v_gone = row_count;
  if p_count = 0 then
    return v_gone;
  end if;
  n.since := v_first.since;
  n.late := array(select x from pg_snapshot_xip(n.since) as x where pg_visible_in_snapshot(x, n.snapshot));
  n.first_position := p_least;
  n.count := p_count;
  -- What `since` saw in progress is among the late ones: not twice.
  n.first_xid := greatest(p_least_xid, pg_snapshot_xmax(n.since));
  n.last_xid := p_most_xid;
  n.merged_from := coalesce(v_first.merged_from, v_first.block);
  insert into jobledger.blocks values (n.*);
  return v_gone - 1;
end
$$;
