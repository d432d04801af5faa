-- When the job that has been ready longest was due, of a tenant with many: the head of each of its lanes, priority after priority, and of what is held back the p_most oldest by id.
create or replace function jobledger.tenant_oldest(p_shard smallint, p_tenant text, p_open jsonb, p_most int) returns timestamptz
language sql stable set enable_seqscan = off set enable_bitmapscan = off
as $$
  with recursive queue as (
    select distinct o ->> 'queue' as name from jsonb_array_elements(p_open) as o where o ->> 'state' = 'ready' limit 1000
  ), lane as (
    select q.name, h.priority, h.run_at from queue as q cross join lateral (
      select r.priority, r.run_at from jobledger.ready as r where r.queue = q.name and r.tenant = p_tenant and (r.shard = p_shard) is true order by r.priority, r.run_at limit 1) as h
    union all
    select l.name, h.priority, h.run_at from lane as l cross join lateral (
      select r.priority, r.run_at from jobledger.ready as r where r.queue = l.name and r.tenant = p_tenant and r.priority > l.priority and (r.shard = p_shard) is true order by r.priority, r.run_at limit 1) as h
  )
  select least((select min(l.run_at) from lane as l), (select min(h.run_at) from (
    select w.run_at from jobledger.waiting as w where (w.shard = p_shard) is true and w.tenant = p_tenant and w.state = 'ready' order by w.tenant, w.state, w.id limit p_most) as h))
$$;
