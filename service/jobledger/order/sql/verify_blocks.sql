-- A page of blocks with the positions that they take in: $1 shard, $2 after this block, $3 blocks.
select block, epoch, sealed_at, count, first_position, last_position, positions, thinned, fault from jobledger.verify_blocks($1::smallint, $2::bigint, $3::int)
