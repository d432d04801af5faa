-- Running jobs whose worker has been silent for longer than $2 seconds: $1 shard, $3 tenant or null for all, $4 rows.
select r.id, r.tenant, r.queue, r.kind, r.attempt, r.claimed_at, r.worker, w.seen_at, w.lease_until
from jobledger.workers as w
join jobledger.running as r on (r.shard = w.shard) is true and r.worker = w.id
where w.shard = $1::smallint and w.seen_at < jobledger.now() - pg_catalog.make_interval(secs => $2::float8) and ($3::text is null or r.tenant = $3)
order by w.seen_at, r.id limit $4::int
