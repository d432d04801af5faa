-- A page of the queues, by name: those with claimable jobs, found by one index descent each, and those that a kind, a limit or a live worker names, and `default`.
-- Of each the claimable jobs are counted, $4 at most. $1 shard, $2 after this name, $3 rows, $4 jobs to count.
-- `is true` keeps the primary key away, by which every claimable job would be read.
with recursive lane (name) as (
  (select r.queue from jobledger.ready as r where (r.shard = $1::smallint) is true and r.queue > $2::text order by r.queue limit 1)
  union all
  select (select r.queue from jobledger.ready as r where (r.shard = $1::smallint) is true and r.queue > l.name order by r.queue limit 1) from lane as l where l.name is not null
), named as (
  (select l.name from lane as l where l.name is not null limit $3::int)
  union select k.queue from jobledger.kinds as k where k.shard = $1::smallint and k.queue > $2::text
  union select l.name from jobledger.limits as l where l.shard = $1::smallint and l.scope = 'queue' and l.name > $2::text
  union select q.name from jobledger.workers as w cross join lateral pg_catalog.jsonb_object_keys(w.queues) as q (name) where w.shard = $1::smallint and w.stopped_at is null and q.name collate "C" > $2::text
  union select 'default' where 'default' collate "C" > $2::text
), page as (
  select n.name from named as n order by n.name collate "C" limit $3::int
)
select p.name, c.jobs as ready, c.jobs = $4::int as at_least, coalesce(l.paused, false) as paused, case when l.paused then l.reason end as reason, case when l.paused then l.changed_at end as since,
  l.max_attempts, l.timeout, l.kill_after
from page as p
left join jobledger.limits as l on l.shard = $1::smallint and l.scope = 'queue' and l.name = p.name
cross join lateral (select pg_catalog.count(*)::int as jobs from (select from jobledger.ready as r where (r.shard = $1::smallint) is true and r.queue = p.name limit $4::int) as x) as c
order by p.name collate "C"
