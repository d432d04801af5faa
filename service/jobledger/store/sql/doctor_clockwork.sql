-- What a tick would have done by now: $1 shard, $2 grace in seconds. Anything here means that nobody runs it.
select
  (select pg_catalog.count(*) from (select from jobledger.waiting as w where w.shard = $1::smallint and w.wake_at < t.before limit 10000) as x)::int as due,
  (select pg_catalog.count(*) from (select from jobledger.running as r join jobledger.workers as w on w.shard = r.shard and w.id = r.worker
    where r.shard = $1::smallint and w.lease_until < t.before limit 10000) as x)::int as unrescued,
  (select pg_catalog.count(*) from jobledger.workers as w where w.shard = $1::smallint and w.stopped_at is null and w.lease_until > t.now)::int as workers,
  (select pg_catalog.count(*) from (select from jobledger.ready as r where r.shard = $1::smallint limit 10000) as x)::int as ready,
  (select pg_catalog.count(*) from (select from jobledger.waiting as w where w.shard = $1::smallint and w.state = 'ready' and w.reason = 'no_worker_for_kind' limit 10000) as x)::int as unknown_kinds,
  (select pg_catalog.count(*) from jobledger.late as l where l.shard = $1::smallint)::int as late
from (select jobledger.now() as now, jobledger.now() - pg_catalog.make_interval(secs => $2::float8) as before) as t
