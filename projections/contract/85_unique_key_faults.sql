-- Unique keys that are not what the jobs' rows say, in the shape of `compare`: a key that a finished job still holds (nobody else gets it), one that the job never had
-- (found when all are compared), and one that an open job should hold and nobody does (a second job would get it), or another does (two open jobs of one key). One statement, so one snapshot: a job's end and the release of its key are one transaction.
-- For some jobs it goes by one descent each, whatever the statistics say.
drop function if exists jobledger.unique_key_faults;

create function jobledger.unique_key_faults(p_shard smallint, p_ids uuid[] default null)
returns table (job uuid, found text, expected text)
language sql stable
as $$
  select u.id, 'unique key of a finished job', null::text from jobledger.unique_keys as u
  where p_ids is null and u.shard = p_shard and exists (select from jobledger.finished as f where f.shard = p_shard and f.id = u.id)
  union all
  select s.job, 'unique key that is not its own', null from jobledger.stray_unique_keys(p_shard) as s where p_ids is null
  union all
  select i.id, 'unique key of a finished job', null from (select distinct t.id from unnest(p_ids) as t (id)) as i
  cross join lateral (select e.tenant, e.data ->> 'unique' as key from jobledger.events as e where e.shard = p_shard and e.stream_id = i.id and e.version = 1 offset 0) as s
  where (select 1 from jobledger.finished as f where f.shard = p_shard and f.id = i.id) is not null
    and (select u.id from jobledger.unique_keys as u where u.shard = p_shard and u.tenant = s.tenant and u.key = s.key) = i.id
  union all
  select o.id, case when h.id is not null then 'unique key that another job holds' end, 'unique key' from (
    select r.id, r.tenant, r.unique_key from jobledger.ready as r where p_ids is null and r.shard = p_shard and r.unique_key is not null
    union all
    select r.id, r.tenant, r.unique_key from jobledger.waiting as r where p_ids is null and r.shard = p_shard and r.unique_key is not null
    union all
    select r.id, r.tenant, r.unique_key from jobledger.running as r where p_ids is null and r.shard = p_shard and r.unique_key is not null
    union all
    select r.id, r.tenant, r.unique_key from unnest(p_ids) as i (id) cross join lateral (select x.id, x.tenant, x.unique_key from jobledger.ready as x
      where x.shard = p_shard and x.id = i.id offset 0) as r where r.unique_key is not null
    union all
    select r.id, r.tenant, r.unique_key from unnest(p_ids) as i (id) cross join lateral (select x.id, x.tenant, x.unique_key from jobledger.waiting as x
      where x.shard = p_shard and x.id = i.id offset 0) as r where r.unique_key is not null
    union all
    select r.id, r.tenant, r.unique_key from unnest(p_ids) as i (id) cross join lateral (select x.id, x.tenant, x.unique_key from jobledger.running as x
      where x.shard = p_shard and x.id = i.id offset 0) as r where r.unique_key is not null
  ) as o left join lateral (select u.id from jobledger.unique_keys as u where u.shard = p_shard and u.tenant = o.tenant and u.key = o.unique_key) as h on true
  where h.id is distinct from o.id
$$;
