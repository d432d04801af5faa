-- Move the ready jobs of what is paused out of the lanes, in batches. Claims skip them at once anyway; this keeps the lanes short.
-- What a call costs does not grow with the pauses: 64 of them are looked up by index (all, where there are no more, else some from a random one on), and some eight pages of
-- `ready` are looked at for rows of paused tenants, queues and kinds: what has many rows there is found soon. Of a paused kind the lane is read from where it was found on, 4 * p_most rows at most.
-- A row is looked at again when it is locked: a resume or a claim may have come between.
create or replace function jobledger.hold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql set enable_sort = off set enable_bitmapscan = off
as $$
declare
  v_from record;
  v_places tid[];
  v_held int;
begin
  if not exists (select from jobledger.limits as l where l.shard = p_shard and l.paused) then
    return 0;
  end if;
  select ''::text as scope, ''::text as name into v_from;
  if (select count(*) from (select from jobledger.limits as l where l.shard = p_shard and l.paused limit 65) as l) > 64 then
    select l.scope, l.name into v_from from jobledger.limits as l tablesample system (least(100, 200.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.limits'))))
    where l.shard = p_shard and l.paused order by random() limit 1;
  end if;
  with sample as materialized (
      select r.queue, r.tenant, r.priority, r.kind, min(r.run_at) as run_at
      from jobledger.ready as r tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.ready')))) where r.shard = p_shard
      group by r.queue, r.tenant, r.priority, r.kind
    ), slice as (
      select l.scope, l.name from jobledger.limits as l
      where l.shard = p_shard and l.paused and (l.shard, l.scope, l.name) >= (p_shard, coalesce(v_from.scope, ''), coalesce(v_from.name, '')) order by l.shard, l.scope, l.name limit 64
    ), pause as (
      select s.scope, s.name, null::text as queue, null::text as tenant, null::smallint as priority, null::timestamptz as run_at from slice as s where s.scope in ('tenant', 'queue')
      union
      select l.scope, l.name, case l.scope when 'kind' then s.queue end, case l.scope when 'kind' then s.tenant end, case l.scope when 'kind' then s.priority end,
        case l.scope when 'kind' then s.run_at end
      from sample as s cross join lateral (values ('tenant', s.tenant), ('queue', s.queue), ('kind', s.kind)) as v (scope, name)
      cross join lateral (select x.scope, x.name from jobledger.limits as x where x.shard = p_shard and x.scope = v.scope and x.name = v.name and x.paused limit 1) as l
    )
    select array(select h.place from pause as p cross join lateral (
      (select r.ctid as place from jobledger.ready as r where p.scope = 'tenant' and r.tenant = p.name order by r.tenant, r.id limit p_most)
      union all (select r.ctid from jobledger.ready as r where p.scope = 'queue' and r.queue = p.name order by r.queue, r.tenant, r.priority, r.run_at, r.id limit p_most)
      union all (select k.place from (
        select r.ctid as place, r.kind from jobledger.ready as r where p.scope = 'kind' and r.queue = p.queue and r.tenant = p.tenant and r.priority = p.priority and r.run_at >= p.run_at
        order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 4 * p_most) as k where k.kind = p.name limit p_most)
    ) as h limit p_most) into v_places;
  with held as materialized (
    select r.ctid as place, r.*, jobledger.hold_reason(p_shard, r.tenant, r.queue, r.kind) as reason from jobledger.ready as r
    where r.ctid = any (v_places) and (r.shard = p_shard) is true
    for update skip locked
  ), gone as (
    delete from jobledger.ready as r where r.ctid = any (array(select h.place from held as h where h.reason is not null))
  ), kept as (
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, reason)
    select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, 'ready', h.reason from held as h where h.reason is not null
  )
  select count(h.reason) into v_held from held as h;
  return v_held;
end
$$;
