-- The first lane (tenant, priority) of a queue strictly between two known ones: one descent of the index. Both bounds are known lanes or the ends
-- (('', -32768) and ('~', 0), which no name reaches), so the dead entries of known lanes are never read.
drop function if exists jobledger.next_lane;

create function jobledger.next_lane(p_queue text, p_tenant text, p_priority smallint, p_upto_tenant text, p_upto_priority smallint, out tenant text, out priority smallint)
language sql stable
as $$
  select r.tenant, r.priority from jobledger.ready as r
  where r.queue = p_queue and (r.tenant, r.priority) > (p_tenant, p_priority) and (r.tenant, r.priority) < (p_upto_tenant, p_upto_priority)
  order by r.queue, r.tenant, r.priority limit 1
$$;
