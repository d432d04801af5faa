-- Move the ready jobs of what is paused out of the lanes, in batches. Claims skip them at once anyway; this keeps the lanes short.
-- Of many pauses one slice of 64 is visited a call, and those of the last minute always.
-- Tenants and queues are found by their index; of a kind, for which there is none, 20,000 rows are looked at: the oldest, or in a long queue every other time those
-- from a random job on. Plans: no sort, so each index is walked in its order, and never the whole queue by its primary key.
create or replace function jobledger.hold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql set enable_sort = off set enable_bitmapscan = off
as $$
declare
  v_pause record;
  v_some int;
  v_all int := 0;
  v_slice int := floor(random() * 64);
  v_from uuid := '00000000-0000-0000-0000-000000000000';
begin
  if pg_relation_size('jobledger.ready') > 4000000 and random() < 0.5 then
    select r.id into v_from from jobledger.ready as r tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.ready')))) order by random() limit 1;
    v_from := coalesce(v_from, '00000000-0000-0000-0000-000000000000');
  end if;
  for v_pause in
    select l.scope, l.name from jobledger.limits as l
    where l.shard = p_shard and l.paused and (l.changed_at > p_now - interval '1 minute' or (hashtext(l.name) & 63) = v_slice)
    order by l.changed_at desc
  loop
    with held as materialized (
      select r.ctid as place, r.* from jobledger.ready as r
      where r.shard = p_shard and r.ctid = any (array(
        (select t.ctid from jobledger.ready as t where v_pause.scope = 'tenant' and t.tenant = v_pause.name order by t.tenant, t.id limit p_most - v_all)
        union all (select t.ctid from jobledger.ready as t where v_pause.scope = 'queue' and t.queue = v_pause.name order by t.queue, t.tenant, t.priority, t.run_at, t.id limit p_most - v_all)
        union all (select k.place from (
          select t.ctid as place, t.kind from jobledger.ready as t where v_pause.scope = 'kind' and t.shard = p_shard and t.id >= v_from order by t.shard, t.id limit 20000
        ) as k where k.kind = v_pause.name limit p_most - v_all)))
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
