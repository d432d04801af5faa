-- Take a projection whose tables are to be made: $1 shard, $2 name, $3 shadow, $4 version, $5 checksum. First in the transaction that makes them.
select jobledger.projection_make($1::smallint, $2::text, $3::boolean, $4::int, $5::text)
