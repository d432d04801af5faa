-- Drop a detached partition and say so in the log: $1 shard, $2 name, $3 actor. Null, or what stands in the way.
select jobledger.partition_drop($1::smallint, $2, $3)
