-- Run the fold of the schema written in as $4 over the blocks above $2 up to $3: $1 shard. Read as rows, so that whatever it returns is thrown away.
select count(*) from $4.fold($1::smallint, $2::bigint, $3::bigint)
