-- Every projection with its checkpoint, and the end of what is sealed: $1 shard.
select name, shadow, version, state, effects, made, checksum, block, last_block from jobledger.projections_due($1::smallint)
