-- One worker, also a stopped one: $1 shard, $2 id, $3 only if it is bound to some of these tenants and to no other, null for any.
select w.id, case when w.stopped_at is not null then 'stopped' when w.lease_until > jobledger.now() then 'alive' else 'lost' end as state, w.started_at, w.seen_at, w.lease_until, w.stopped_at,
  w.queues::text as queues, w.kinds, w.tenants, w.about::text as about, w.stalled_s::float8 as stalled_s,
  (select pg_catalog.count(*)::int from (select from jobledger.running as r where r.worker = w.id limit 10000) as x) as held
from jobledger.workers as w
where w.shard = $1::smallint and w.id = $2::uuid and ($3::text[] is null or (w.tenants <@ $3 and w.tenants <> '{}'))
