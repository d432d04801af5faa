-- A page of the workers that have not stopped, the last started first: $1 shard, $2 only those that are bound to some of these tenants and to no other, null for all,
-- $3 and $4 started before this moment, and below this id; $5 rows. Of each the jobs that it holds are counted, 10,000 at most, by index.
select w.id, case when w.lease_until > t.now then 'alive' else 'lost' end as state, w.started_at, w.seen_at, w.lease_until, w.stopped_at, w.queues::text as queues, w.kinds, w.tenants,
  w.about::text as about, w.stalled_s::float8 as stalled_s, h.held
from (select jobledger.now() as now) as t
cross join jobledger.workers as w
cross join lateral (select pg_catalog.count(*)::int as held from (select from jobledger.running as r where r.worker = w.id limit 10000) as x) as h
where w.shard = $1::smallint and w.stopped_at is null and ($2::text[] is null or (w.tenants <@ $2 and w.tenants <> '{}')) and (w.started_at, w.id) < ($3::timestamptz, $4::uuid)
order by w.started_at desc, w.id desc limit $5::int
