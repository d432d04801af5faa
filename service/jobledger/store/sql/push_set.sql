-- Deliver a queue to an endpoint: $1 shard, $2 queue, $3 tenant or null, $4 url, $5 batch, $6 concurrency, $7 max_run, $8 start_failure, $9 rotate, $10 actor, $11 reason.
select jobledger.push_set($1::smallint, $2::text, $3::text, $4::text, $5::int, $6::int, $7::int, $8::text, $9::boolean, $10::text, $11::text)
