-- The moment of a live answer: $1 shard, $2 epoch, $3 mark, $4 block, $5 position, $6 snapshot, $7 its clock.
select pg_catalog.to_jsonb(m)::text as moment, m.at, m.block, m.sealed_at from jobledger.moment_of_token($1::smallint, $2::int, $3::bigint, $4::bigint, $5::bigint, $6::text::pg_catalog.pg_snapshot, $7::timestamptz) as m
