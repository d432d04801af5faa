-- A page of the queues, by name: those with claimable jobs, or jobs that nobody may claim, found by one index descent each; those of the $5 jobs that are due next and of the $5 running
-- ones whose time is over first (no index goes by their queue: nobody may pay for one at each enqueue); those that a kind, a limit or a live worker names, and `default`;
-- and those of parked jobs, of the first $5 tenants that have jobs waiting and of each the $6 oldest (no time is theirs, and the one index by state has the tenant first).
-- Of each the claimable jobs are counted, $4 at most. $1 shard, $2 after this name, $3 rows, $4 jobs to count, $5 jobs and tenants to look at, $6 parked jobs of a tenant.
-- `is true` keeps the primary key away, by which every claimable job would be read; of a limit that it does not know the planner expects so little that it goes by the index in a table
-- that was never analysed, too, in the place of sorting it whole. Rows are compared where it would sort what one tenant has parked.
with recursive lane (name) as (
  (select r.queue from jobledger.ready as r where (r.shard = $1::smallint) is true and r.queue > $2::text order by r.queue limit 1)
  union all
  select (select r.queue from jobledger.ready as r where (r.shard = $1::smallint) is true and r.queue > l.name order by r.queue limit 1) from lane as l where l.name is not null
), held (reason, name) as (
  (select w.reason, w.queue from jobledger.waiting as w where (w.shard = $1::smallint) is true and w.state = 'ready' and w.reason is not null order by w.reason, w.queue limit 1)
  union all
  select n.reason, n.queue from held as h cross join lateral (
    select w.reason, w.queue from jobledger.waiting as w where (w.shard = $1::smallint) is true and w.state = 'ready' and (w.reason, w.queue) > (h.reason, h.name) order by w.reason, w.queue limit 1
  ) as n
), behind (tenant) as (
  (select w.tenant from jobledger.waiting as w where (w.shard = $1::smallint) is true order by w.tenant, w.state limit 1)
  union all
  select (select w.tenant from jobledger.waiting as w where (w.shard = $1::smallint) is true and w.tenant > b.tenant order by w.tenant, w.state limit 1) from behind as b where b.tenant is not null
), named as (
  (select l.name from lane as l where l.name is not null limit $3::int)
  union select h.name from held as h where h.name > $2::text
  union select d.queue from (select w.queue from jobledger.waiting as w where (w.shard = $1::smallint) is true and w.wake_at is not null order by w.wake_at limit (select $5::int)) as d where d.queue > $2::text
  union select g.queue from (select g.queue from jobledger.running as g where (g.shard = $1::smallint) is true order by g.timeout_at limit (select $5::int)) as g where g.queue > $2::text
  union select p.queue from (select b.tenant from behind as b where b.tenant is not null limit $5::int) as b cross join lateral (
    select w.queue from jobledger.waiting as w where (w.shard = $1::smallint) is true and (w.tenant, w.state, w.id) > (b.tenant, 'parked', '00000000-0000-0000-0000-000000000000')
      and (w.tenant, w.state, w.id) < (b.tenant, 'parked', 'ffffffff-ffff-ffff-ffff-ffffffffffff') order by w.tenant, w.state, w.id limit $6::int) as p where p.queue > $2::text
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
