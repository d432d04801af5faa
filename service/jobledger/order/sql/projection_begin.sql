-- Enter a projection, or the shadow of one: $1 shard, $2 name, $3 version (null: the live one's), $4 shadow, $5 effects.
select jobledger.projection_begin($1::smallint, $2::text, $3::int, $4::boolean, $5::boolean)
