-- Refuse (JL207) the checkpoint of a projection that the log does not have: as for a reader's cursor; and where it is the beginning, but not since retention last dropped something
-- (`epoch` tells, see told_epoch): a rebuild from there would lose it in silence. `merged`: it lies within a merged block, whose events have another order now.
create or replace function jobledger.check_projection_place(p_shard smallint, p jobledger.projections) returns void
language plpgsql set enable_seqscan = off
as $$
declare
  h jobledger.horizon;
begin
  perform jobledger.check_place(p_shard, p.epoch, p.block);
  select t.* into h from jobledger.horizon as t where t.shard = p_shard;
  if p.block = 0 and h.generation > 0 and p.epoch >> 20 <> h.generation then
    perform jobledger.refuse('JL207', 'The beginning of the log was dropped by retention.', 'Go on without it, or keep what is there.', jsonb_build_object('reason', 'below_horizon'));
  end if;
  if p.block > 0 and p.block < h.block and exists (
    select from (select b.merged_from from jobledger.blocks as b where b.shard = p_shard and b.block > p.block order by b.block limit 1) as b where b.merged_from <= p.block
  ) then
    perform jobledger.refuse('JL207', 'The checkpoint lies within blocks that were merged.', 'Begin again.', jsonb_build_object('reason', 'merged'));
  end if;
end
$$;
