-- What a worker holds, the oldest claim first: $1 shard, $2 worker, $3 rows.
select r.id, r.tenant, r.queue, r.kind, r.attempt, r.claimed_at, r.timeout_at
from jobledger.running as r
where r.shard = $1::smallint and r.worker = $2::uuid
order by r.claimed_at, r.id limit $3::int
