-- The end of what is sealed: $1 shard.
select epoch, block, position, sealed_at from jobledger.log_end($1::smallint)
