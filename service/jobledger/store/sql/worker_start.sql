-- Register an incarnation of a worker: $1 shard, $2 id or null, $3 queues as json text or null, $4 kinds, $5 tenants or null, $6 lease in seconds, $7 about as json text.
select w.worker, w.lease_until
from jobledger.worker_start($1::smallint, $2::uuid, $3::text::jsonb, $4::text[], $5::text[], $6::int, $7::text::jsonb) as w
