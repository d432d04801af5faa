-- Renew a lease: $1 shard, $2 worker, $3 number of the heartbeat, $4 settled claim call, $5 jobs held, $6 seconds for which the loop has stood still.
select h.kind, h.job, h.at from jobledger.heartbeat($1::smallint, $2::uuid, $3::int, $4::int, $5::uuid[], $6::real) as h
