-- The moment of a live answer: $1 shard, $2 epoch, $3 mark, $4 block, $5 snapshot, $6 its clock.
select m::text as moment, m.at, m.block, m.sealed_at from jobledger.moment_of_token($1::smallint, $2::int, $3::bigint, $4::bigint, $5::text::pg_catalog.pg_snapshot, $6::timestamptz) as m
