-- Let a stopped projection, and its shadow, go on where it stands. With `p_skip` also one whose checkpoint the log does not have: without what retention dropped; or from the end that
-- the log has, or the beginning of blocks that were merged, where events may come again. Returns how many go on: they are `rebuilding` until they are at the end again, but for folds with effects, which never are.
create or replace function jobledger.projection_resume(p_shard smallint, p_name text, p_skip boolean default false) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  v_row jobledger.projections;
  v_facts text;
  v_resumed int := 0;
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_skip is null then
    perform jobledger.refuse('JL101', 'Whether to skip what the log does not have is true or false.', 'Mend the call.');
  end if;
  for v_row in select * from jobledger.projections as p where p.shard = p_shard and p.name = p_name and p.state = 'stopped' order by p.shadow for update loop
    begin
      if p_skip then
        perform jobledger.check_projection_place(p_shard, v_row);
      end if;
    exception when sqlstate 'JL207' then
      get stacked diagnostics v_facts = pg_exception_detail;
      if v_facts::jsonb ->> 'reason' = 'beyond_end' then
        v_row.block := (v_facts::jsonb ->> 'block')::bigint;
        v_row.epoch := (v_facts::jsonb ->> 'epoch')::int;
      else
        if v_facts::jsonb ->> 'reason' = 'merged' then
          v_row.block := (select b.merged_from - 1 from jobledger.blocks as b where b.shard = p_shard and b.block > v_row.block order by b.block limit 1);
        end if;
        v_row.epoch := jobledger.told_epoch(p_shard, v_row.block, v_row.epoch & 1048575);
      end if;
    end;
    update jobledger.projections as p set state = case when p.effects then 'running' else 'rebuilding' end, error = null, failed_at = null, updated_at = jobledger.now(),
      block = v_row.block, epoch = v_row.epoch
    where p.shard = p_shard and p.name = p_name and p.shadow = v_row.shadow;
    v_resumed := v_resumed + 1;
  end loop;
  return v_resumed;
end
$$;
