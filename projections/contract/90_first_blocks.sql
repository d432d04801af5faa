-- The first partitions of `blocks`, so that the first seal finds its place; sealing sees to the next ones.
select jobledger.blocks_ensure(0::smallint);
