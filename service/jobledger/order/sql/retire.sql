-- Begin to give up a partition, or look again: $1 shard, $2 name, $3 actor. Null, or what stands in the way.
select jobledger.retire($1::smallint, $2, $3)
