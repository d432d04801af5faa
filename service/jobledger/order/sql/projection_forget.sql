-- Forget a projection: $1 shard, $2 name, $3 the shadow only. First in the transaction that drops the schemas.
select jobledger.projection_drop($1::smallint, $2::text, $3::boolean)
