-- What still needs the part of the log from `p_lower` to below `p_upper`: open jobs (the first ten by name), workers whose lease is not over or that have jobs, finished jobs; each
-- counted up to 10,000. One statement, so one snapshot: a job that is being retried is seen in one place or the other.
create or replace function jobledger.partition_holds(p_shard smallint, p_lower uuid, p_upper uuid, out live int, out jobs uuid[], out workers int, out finished int)
language sql stable
as $$
  select l.live, l.jobs,
    (select count(*)::int from (select from jobledger.workers as w where w.shard = p_shard and w.id >= p_lower and w.id < p_upper
      and ((w.stopped_at is null and w.lease_until > jobledger.now()) or exists (select from jobledger.running as r where r.worker = w.id)) limit 10000) as w),
    (select count(*)::int from (select from jobledger.finished as f where f.shard = p_shard and f.id >= p_lower and f.id < p_upper limit 10000) as f)
  from (
    select count(*)::int as live, (array_agg(j.id order by j.id))[:10] as jobs from (
      (select r.id from jobledger.ready as r where r.shard = p_shard and r.id >= p_lower and r.id < p_upper limit 10000)
      union all (select w.id from jobledger.waiting as w where w.shard = p_shard and w.id >= p_lower and w.id < p_upper limit 10000)
      union all (select r.id from jobledger.running as r where r.shard = p_shard and r.id >= p_lower and r.id < p_upper limit 10000)
    ) as j
  ) as l
$$;
