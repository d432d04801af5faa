-- Open jobs by the month of their id, which names their partition of the log: a partition with one cannot be dropped. $1 shard.
select 'events_' || pg_catalog.to_char(jobledger.time_of(j.id) at time zone 'UTC', 'YYYY_MM') as partition, pg_catalog.count(*)::bigint as jobs
from (
  select r.id from jobledger.ready as r where r.shard = $1::smallint
  union all select w.id from jobledger.waiting as w where w.shard = $1::smallint
  union all select r.id from jobledger.running as r where r.shard = $1::smallint
) as j
group by 1
order by 1
