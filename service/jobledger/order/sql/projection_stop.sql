-- Stop a projection where it stands: $1 shard, $2 name, $3 error, $4 shadow (null: both), $5 block (null: wherever it stands).
select jobledger.projection_stop($1::smallint, $2::text, $3::text, $4::boolean, $5::bigint)
