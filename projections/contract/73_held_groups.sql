-- Groups of held jobs (reason, queue, tenant, kind), p_most of them from the given one on, in the order of their index: one descent each, however many jobs they have.
create or replace function jobledger.held_groups(p_reason text, p_queue text, p_tenant text, p_kind text, p_most int)
returns table (reason text, queue text, tenant text, kind text)
language sql stable
as $$
  with recursive walk as (
    select f.*, 1 as nth from (
      select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w
      where w.state = 'ready' and (w.reason, w.queue, w.tenant, w.kind) >= (p_reason, p_queue, p_tenant, p_kind) order by w.reason, w.queue, w.tenant, w.kind limit 1
    ) as f
    union all
    select n.*, l.nth + 1 from walk as l cross join lateral (
      select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w
      where w.state = 'ready' and (w.reason, w.queue, w.tenant, w.kind) > (l.reason, l.queue, l.tenant, l.kind) order by w.reason, w.queue, w.tenant, w.kind limit 1
    ) as n where l.nth < p_most
  )
  select l.reason, l.queue, l.tenant, l.kind from walk as l
$$;
