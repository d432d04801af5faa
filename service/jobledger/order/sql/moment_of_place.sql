-- The moment at which the log reached to a place: $1 shard, $2 epoch, $3 block, $4 position.
select pg_catalog.to_jsonb(m)::text as moment, m.at, m.block, m.sealed_at from jobledger.moment_of_place($1::smallint, $2::int, $3::bigint, $4::bigint) as m
