-- What lies in the live tables and in `finished` against what the log says, for all jobs or for some: one row a difference, in the shape of `compare`. One statement, so one
-- snapshot: safe under load. A finished job without a row is no fault where retention gives up its part of the log: the rows go first. Planned anew each time: a plan that serves all jobs reads the whole log also for one.
drop function if exists jobledger.row_faults;

create function jobledger.row_faults(p_shard smallint, p_ids uuid[] default null)
returns table (job uuid, found text, expected text)
language plpgsql stable set jit = off set plan_cache_mode = force_custom_plan
as $$
begin
  return query select coalesce(l.id, f.id), l.place || ' v' || l.head || coalesce(' claim ' || l.claim, '') || case when (l.place, l.head) is not distinct from (f.place, f.head) then ' ' || l.said else '' end,
    f.place || ' v' || f.head || coalesce(' claim ' || f.claim, '') || case when (l.place, l.head) is not distinct from (f.place, f.head) then ' ' || f.said else '' end
  from (select r.*, count(*) over (partition by r.id) as copies from jobledger.live_rows(p_shard, p_ids) as r) as l
  full join jobledger.folded_rows(p_shard, p_ids) as f on f.id = l.id and f.place = l.place
  where (l.id is null or f.id is null or l.copies > 1 or (l.head, l.claim, l.tenant, l.said) is distinct from (f.head, f.claim, f.tenant, f.said))
    and not (l.id is null and f.place in ('succeeded', 'failed', 'killed', 'cancelled') and jobledger.is_retired(p_shard, f.id));
end
$$;
