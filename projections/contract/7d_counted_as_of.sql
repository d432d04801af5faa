-- Up to when everything is counted: when the last counted block was sealed; null where nothing is. That tells how much everybody does, so who is bound to tenants is told a round time ten
-- seconds ago, while the counts are no more behind than that.
create or replace function jobledger.counted_as_of(p_shard smallint, p_now timestamptz) returns timestamptz
language plpgsql stable set enable_seqscan = off
as $$
declare
  v_block bigint;
  v_sealed_at timestamptz;
begin
  select p.block, p.sealed_at into v_block, v_sealed_at from jobledger_tenants.progress as p where p.shard = p_shard;
  if v_block is null or jobledger.every_tenant() or exists (
      select from (select b.sealed_at from jobledger.blocks as b where b.shard = p_shard and b.block > v_block order by b.block limit 1) as b where b.sealed_at < p_now - interval '10 seconds') then
    return v_sealed_at;
  end if;
  return date_bin('10 seconds', p_now, 'epoch') - interval '10 seconds';
end
$$;
