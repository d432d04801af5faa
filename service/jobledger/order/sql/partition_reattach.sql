-- Attach a partition that was detached too early: $1 shard, $2 name.
select jobledger.partition_reattach($1::smallint, $2)
