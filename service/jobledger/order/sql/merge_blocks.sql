-- Merge blocks before the horizon: $1 shard, $2 after which block, $3 how many rows to look at.
select m.next, m.gone from jobledger.merge_blocks($1::smallint, $2, $3) as m
