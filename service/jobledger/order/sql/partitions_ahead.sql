-- See to the partitions of this month and of $2 months to come: $1 shard.
select jobledger.partitions_ensure($1::smallint, $2) as made
