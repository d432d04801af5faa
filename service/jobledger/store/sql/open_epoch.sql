-- Begin a new epoch of the order, if one is due: $1 shard.
select jobledger.open_epoch($1::smallint)
