-- Put the shadow in the projection's place: $1 shard, $2 name. First in the transaction that renames the schemas.
select jobledger.projection_swap($1::smallint, $2::text)
