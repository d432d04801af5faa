-- Move the ready jobs of what is paused out of the lanes, in batches. Claims skip them at once anyway; this keeps the lanes short.
-- What a call costs does not grow with the pauses: up to 64 of them are all looked up by index. Of more, slices of 64 are, in the order they lie in: one that goes on with the clock,
-- so that each has its turn, then, while slices find jobs, those after them, else some at random; three in vain or some 8 ms end it. Besides, some eight pages of `ready` are looked
-- at for the tenants and queues with many rows there, and for paused kinds: of those the lane is read from where it was found on, 4 * p_most rows at most.
-- A row is looked at again when it is locked: a resume or a claim may have come between.
create or replace function jobledger.hold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql set enable_sort = off set enable_incremental_sort = off set enable_bitmapscan = off
as $$
declare
  v_until timestamptz := clock_timestamp() + interval '8 milliseconds';
  v_many boolean := (select count(*) > 64 from (select from jobledger.limits as l where l.shard = p_shard and l.paused limit 65) as l);
  v_pages bigint := pg_relation_size('jobledger.limits') / current_setting('block_size')::int;
  v_at tid;
  v_scopes text[];
  v_names text[];
  v_places tid[] := '{}';
  v_some tid[];
  v_vain int := 0;
  v_held int;
begin
  if not exists (select from jobledger.limits as l where l.shard = p_shard and l.paused) then
    return 0;
  end if;
  if v_many or exists (select from jobledger.limits as l where l.shard = p_shard and l.scope = 'kind' and l.paused) then
    with sample as materialized (
      select r.queue, r.tenant, r.priority, r.kind, min(r.run_at) as run_at
      from jobledger.ready as r tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.ready')))) where r.shard = p_shard
      group by r.queue, r.tenant, r.priority, r.kind order by count(*) desc limit 64
    ), pause as (
      select distinct l.scope, l.name, case l.scope when 'kind' then s.queue end as queue, case l.scope when 'kind' then s.tenant end as tenant,
        case l.scope when 'kind' then s.priority end as priority, case l.scope when 'kind' then s.run_at end as run_at
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
  end if;
  v_at := format('(%s,0)', floor(4 * extract(epoch from clock_timestamp()))::bigint % greatest(1, v_pages))::tid;
  loop
    exit when cardinality(v_places) >= p_most;
    if v_many then
      select array_agg(l.scope), array_agg(l.name), coalesce(max(l.place), '(0,0)'::tid) into v_scopes, v_names, v_at
      from (select l.ctid as place, l.scope, l.name from jobledger.limits as l where l.ctid > v_at and (l.shard = p_shard and l.paused) is true limit 64) as l;
    else
      select array_agg(l.scope), array_agg(l.name) into v_scopes, v_names
      from (select l.scope, l.name from jobledger.limits as l where l.shard = p_shard and l.paused order by l.shard, l.scope, l.name limit 64) as l;
    end if;
    v_some := array(select h.place from unnest(v_scopes, v_names) as p (scope, name) cross join lateral (
      (select r.ctid as place from jobledger.ready as r where p.scope = 'tenant' and r.tenant = p.name order by r.tenant, r.id limit p_most)
      union all (select r.ctid from jobledger.ready as r where p.scope = 'queue' and r.queue = p.name order by r.queue, r.tenant, r.priority, r.run_at, r.id limit p_most)
    ) as h limit p_most - cardinality(v_places));
    v_places := v_places || v_some;
    if cardinality(v_some) = 0 then
      v_vain := v_vain + 1;
      v_at := format('(%s,0)', floor(random() * v_pages))::tid;
    end if;
    exit when not v_many or v_vain = 3 or clock_timestamp() > v_until;
  end loop;
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
