-- Bring held jobs back once nothing holds them any more; where something else does, only the reason changes.
-- Walks the groups (reason, queue, tenant, kind) by one index descent each, after a resume or the start of a worker, and in one slice of 64 otherwise.
create or replace function jobledger.unhold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql
as $$
declare
  v_group record;
  v_reason text;
  v_some int;
  v_all int := 0;
begin
  if not exists (select from jobledger.limits as l where l.shard = p_shard and not l.paused and l.changed_at > p_now - interval '5 minutes')
      and not exists (select from jobledger.workers as w where w.shard = p_shard and w.stopped_at is null and w.started_at > p_now - interval '5 minutes')
      and random() * 64 >= 1 then
    return 0;
  end if;
  select w.reason, w.queue, w.tenant, w.kind into v_group from jobledger.waiting as w where w.state = 'ready' order by w.reason, w.queue, w.tenant, w.kind limit 1;
  while v_group.reason is not null and v_all < p_most loop
    v_reason := jobledger.hold_reason(p_shard, v_group.tenant, v_group.queue, v_group.kind);
    if v_reason is null and v_group.reason = 'no_worker_for_kind' and not jobledger.can_take(p_shard, v_group.queue, v_group.tenant, v_group.kind, p_now) then
      v_reason := v_group.reason;
    end if;
    if v_reason is distinct from v_group.reason then
      with held as materialized (
        select w.ctid as place, w.* from jobledger.waiting as w
        where w.shard = p_shard and w.state = 'ready' and w.reason = v_group.reason and w.queue = v_group.queue and w.tenant = v_group.tenant and w.kind = v_group.kind
        limit p_most - v_all for update skip locked
      ), kept as (
        update jobledger.waiting as w set reason = v_reason where v_reason is not null and w.ctid = any (array(select h.place from held as h))
      ), gone as (
        delete from jobledger.waiting as w where v_reason is null and w.ctid = any (array(select h.place from held as h))
      ), placed as (
        insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
        select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key from held where v_reason is null
      )
      select count(*) into v_some from held;
      v_all := v_all + v_some;
    end if;
    select w.reason, w.queue, w.tenant, w.kind into v_group from jobledger.waiting as w
    where w.state = 'ready' and (w.reason, w.queue, w.tenant, w.kind) > (v_group.reason, v_group.queue, v_group.tenant, v_group.kind)
    order by w.reason, w.queue, w.tenant, w.kind limit 1;
  end loop;
  return v_all;
end
$$;
