-- Move the ready jobs of what is paused out of the lanes, in batches. Claims skip them at once anyway; this keeps the lanes short.
-- What a call costs does not grow with the pauses: 64 of them are looked up by index (all, where there are no more, else some from a random one on), and some eight pages of
-- `ready` are looked at for rows of paused tenants, queues and kinds: what has many rows there is found soon. Of a paused kind the lane is read from where it was found on, 4 * p_most rows at most.
-- A row is looked at again when it is locked: a resume or a claim may have come between.
create or replace function jobledger.hold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql set enable_sort = off set enable_bitmapscan = off
as $$
declare
  v_from record;
  v_pause record;
  v_places tid[];
  v_some int;
  v_all int := 0;
begin
  if not exists (select from jobledger.limits as l where l.shard = p_shard and l.paused) then
    return 0;
  end if;
  select ''::text as scope, ''::text as name into v_from;
  if (select count(*) from (select from jobledger.limits as l where l.shard = p_shard and l.paused limit 65) as l) > 64 then
    select l.scope, l.name into v_from from jobledger.limits as l tablesample system (least(100, 200.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.limits'))))
    where l.shard = p_shard and l.paused order by random() limit 1;
  end if;
  for v_pause in
    with sample as materialized (
      select r.queue, r.tenant, r.priority, r.kind, min(r.run_at) as run_at
      from jobledger.ready as r tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.ready')))) where r.shard = p_shard
      group by r.queue, r.tenant, r.priority, r.kind
    ), slice as (
      select l.scope, l.name from jobledger.limits as l
      where l.shard = p_shard and l.paused and (l.shard, l.scope, l.name) >= (p_shard, coalesce(v_from.scope, ''), coalesce(v_from.name, '')) order by l.shard, l.scope, l.name limit 64
    )
    select s.scope, s.name, null::text as queue, null::text as tenant, null::smallint as priority, null::timestamptz as run_at from slice as s where s.scope in ('tenant', 'queue')
    union
    select l.scope, l.name, case l.scope when 'kind' then s.queue end, case l.scope when 'kind' then s.tenant end, case l.scope when 'kind' then s.priority end,
      case l.scope when 'kind' then s.run_at end
    from sample as s join jobledger.limits as l
      on l.shard = p_shard and l.paused and ((l.scope = 'tenant' and l.name = s.tenant) or (l.scope = 'queue' and l.name = s.queue) or (l.scope = 'kind' and l.name = s.kind))
  loop
    v_places := case v_pause.scope
      when 'tenant' then array(select r.ctid from jobledger.ready as r where r.tenant = v_pause.name order by r.tenant, r.id limit p_most - v_all)
      when 'queue' then array(select r.ctid from jobledger.ready as r where r.queue = v_pause.name order by r.queue, r.tenant, r.priority, r.run_at, r.id limit p_most - v_all)
      else array(select r.place from (
        select r.ctid as place, r.kind from jobledger.ready as r where r.queue = v_pause.queue and r.tenant = v_pause.tenant and r.priority = v_pause.priority and r.run_at >= v_pause.run_at
        order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 4 * p_most) as r where r.kind = v_pause.name limit p_most - v_all) end;
    with held as materialized (
      select r.ctid as place, r.* from jobledger.ready as r
      where r.ctid = any (v_places) and (r.shard = p_shard) is true and v_pause.name = case v_pause.scope when 'tenant' then r.tenant when 'queue' then r.queue else r.kind end
      for update skip locked
    ), gone as (
      delete from jobledger.ready as r where r.ctid = any (array(select h.place from held as h))
    ), kept as (
      insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, reason)
      select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, 'ready', v_pause.scope || '_paused' from held
    )
    select count(*) into v_some from held;
    v_all := v_all + v_some;
    exit when v_all >= p_most;
  end loop;
  return v_all;
end
$$;
