-- Move the ready jobs of what is paused out of the lanes, in batches. Claims skip them at once anyway; this keeps the lanes short.
-- Of many pauses one slice of 64 is visited a call, and those of the last minute always.
create or replace function jobledger.hold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql
as $$
declare
  v_pause record;
  v_some int;
  v_all int := 0;
  v_slice int := floor(random() * 64);
begin
  for v_pause in
    select l.scope, l.name from jobledger.limits as l
    where l.shard = p_shard and l.paused and (l.changed_at > p_now - interval '1 minute' or (hashtext(l.name) & 63) = v_slice)
    order by l.changed_at desc
  loop
    with held as materialized (
      select r.ctid as place, r.* from jobledger.ready as r
      where r.shard = p_shard and (v_pause.scope <> 'tenant' or r.tenant = v_pause.name) and (v_pause.scope <> 'queue' or r.queue = v_pause.name) and (v_pause.scope <> 'kind' or r.kind = v_pause.name)
      limit p_most - v_all for update skip locked
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
