-- The moment of a time: $1 shard, $2 time.
select pg_catalog.to_jsonb(m)::text as moment, m.at, m.block, m.sealed_at from jobledger.moment_of_time($1::smallint, $2::timestamptz) as m
