-- Let a stopped projection go on: $1 shard, $2 name, $3 skip what the log does not have.
select jobledger.projection_resume($1::smallint, $2::text, $3::boolean)
