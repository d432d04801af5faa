-- The first lane (tenant, priority) of a queue that has jobs behind one lane and before another; no row where there is none. Dead entries of either lane are not read.
-- The end is looked up by itself: before Postgres 18 a scan goes on past a bound of compared rows for as long as their first columns are the same, here through a whole lane.
-- Plans: inlined, one descent or two; the second branch comes last, since branches are run in their order.
create or replace function jobledger.next_lane(p_queue text, p_tenant text, p_priority smallint, p_upto_tenant text, p_upto_priority smallint) returns table (tenant text, priority smallint)
language sql stable
as $$
  select x.tenant, x.priority from (
    (select r.tenant, r.priority from jobledger.ready as r
      where r.queue = p_queue and (r.tenant, r.priority) > (p_tenant, p_priority) and r.tenant < p_upto_tenant
      order by r.queue, r.tenant, r.priority limit 1)
    union all
    (select r.tenant, r.priority from jobledger.ready as r
      where r.queue = p_queue and r.tenant = p_upto_tenant and p_tenant collate "C" <= p_upto_tenant and r.priority < p_upto_priority
        and r.priority > case when p_tenant = p_upto_tenant then p_priority else -32768 end
      order by r.queue, r.tenant, r.priority limit 1)
  ) as x limit 1
$$;
