-- Note that the blocks up to p_upto are counted, and close the slice that has 50,000 events or is a minute old: keep the levels that changed within it.
-- Once an hour of the log's own time it cuts back what grows: see `cut_back`.
create function close_slice(p_shard smallint, p_after bigint, p_upto bigint) returns void
language plpgsql set enable_seqscan = off
as $$
declare
  v_last bigint := coalesce((select s.block from slices as s where s.shard = p_shard order by s.block desc limit 1), 0);
  p progress;
begin
  insert into progress as x (shard, block, sealed_at, events, began_at, cut_at)
  select p_shard, p_upto, max(b.sealed_at), sum(b.count), min(b.sealed_at), max(b.sealed_at) from jobledger.blocks as b where b.shard = p_shard and b.block > p_after and b.block <= p_upto
  having count(*) > 0
  on conflict (shard) do update set block = excluded.block, sealed_at = excluded.sealed_at, events = x.events + excluded.events, began_at = coalesce(x.began_at, excluded.began_at)
  returning * into p;
  if p.block is null or (p.events < 50000 and p.sealed_at < p.began_at + interval '1 minute') then
    return;
  end if;
  insert into past_levels (shard, tenant, queue, kind, state, block, count)
  select l.shard, l.tenant, l.queue, l.kind, l.state, p_upto, l.count from levels as l where l.shard = p_shard and l.block > v_last;
  insert into slices (shard, block, sealed_at) values (p_shard, p_upto, p.sealed_at);
  if p.sealed_at >= p.cut_at + interval '1 hour' then
    perform cut_back(p_shard, p.sealed_at);
    p.cut_at := p.sealed_at;
  end if;
  update progress as x set events = 0, began_at = null, cut_at = p.cut_at where x.shard = p_shard;
end
$$;
