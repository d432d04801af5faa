-- See to the partitions of this month and the next ones: $1 shard. Nothing can be enqueued without.
select jobledger.partitions_ensure($1::smallint)
