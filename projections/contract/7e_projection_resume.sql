-- Let a stopped projection, and its shadow, go on where it stands. With `p_skip` one whose checkpoint the log does not have goes on from where the log allows: at the horizon,
-- without what retention dropped; or at the end that the log has, where events may come again. Returns how many go on: they are `rebuilding`
-- until they are at the end again, but for folds with effects, which never are.
create or replace function jobledger.projection_resume(p_shard smallint, p_name text, p_skip boolean default false) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
  v_row jobledger.projections;
  v_end jobledger.blocks;
  v_first bigint := coalesce((select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block limit 1), 1);
  v_resumed int := 0;
begin
  perform jobledger.check_projection(p_shard, p_name);
  if p_skip is null then
    perform jobledger.refuse('JL101', 'Whether to skip what the log does not have is true or false.', 'Mend the call.');
  end if;
  for v_row in select * from jobledger.projections as p where p.shard = p_shard and p.name = p_name and p.state = 'stopped' order by p.shadow for update loop
    if p_skip and v_row.block < v_first - 1 then
      v_row.block := v_first - 1;
      v_row.epoch := 0;
    elsif p_skip and v_row.block >= v_first and not exists (select from jobledger.blocks as b where b.shard = p_shard and b.block = v_row.block and b.epoch = v_row.epoch) then
      select * into v_end from jobledger.blocks as b where b.shard = p_shard and b.epoch <= v_row.epoch and b.block <= v_row.block order by b.block desc limit 1;
      v_row.block := coalesce(v_end.block, v_first - 1);
      v_row.epoch := coalesce(v_end.epoch, 0);
    end if;
    update jobledger.projections as p set state = case when p.effects then 'running' else 'rebuilding' end, error = null, failed_at = null, updated_at = jobledger.now(), block = v_row.block, epoch = v_row.epoch
    where p.shard = p_shard and p.name = p_name and p.shadow = v_row.shadow;
    v_resumed := v_resumed + 1;
  end loop;
  return v_resumed;
end
$$;
