-- Bring held jobs back once nothing holds them any more; where something else does, only the reason changes.
-- A call looks at the groups (reason, queue, tenant, kind) that a resume of the last five minutes let go, and at 64 from the first and 64 from a random one on, by one descent of
-- the index each: few groups are all seen at every call, and what many cost does not grow with them. Where the limits are many, resumes are looked for by one call in eight.
create or replace function jobledger.unhold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql
as $$
declare
  v_from record;
  v_group record;
  v_reason text;
  v_some int;
  v_all int := 0;
begin
  if not exists (select from jobledger.waiting as w where w.state = 'ready') then
    return 0;
  end if;
  select w.reason, w.queue, w.tenant, w.kind into v_from
  from jobledger.waiting as w tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.waiting')))) where w.state = 'ready' order by random() limit 1;
  for v_group in
    with recursive first as (
      select f.*, 1 as nth from (select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w where w.state = 'ready' order by w.reason, w.queue, w.tenant, w.kind limit 1) as f
      union all
      select n.*, f.nth + 1 from first as f cross join lateral (
        select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w
        where w.state = 'ready' and (w.reason, w.queue, w.tenant, w.kind) > (f.reason, f.queue, f.tenant, f.kind) order by w.reason, w.queue, w.tenant, w.kind limit 1
      ) as n where f.nth < 64
    ), other as (
      select v_from.reason, v_from.queue, v_from.tenant, v_from.kind, 1 as nth where v_from.reason is not null
      union all
      select n.*, o.nth + 1 from other as o cross join lateral (
        select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w
        where w.state = 'ready' and (w.reason, w.queue, w.tenant, w.kind) > (o.reason, o.queue, o.tenant, o.kind) order by w.reason, w.queue, w.tenant, w.kind limit 1
      ) as n where o.nth < 64
    ), resumed as materialized (
      select l.scope, l.name from jobledger.limits as l
      where l.shard = p_shard and not l.paused and l.changed_at > p_now - interval '5 minutes'
        and (random() < 0.125 or (select count(*) from (select from jobledger.limits limit 257) as x) <= 256) limit 64
    ), freed as (
      select w.* from resumed as l cross join lateral (
        select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w where l.scope = 'tenant' and w.tenant = l.name and w.state = 'ready' order by w.tenant, w.state, w.id limit 1000
      ) as w where w.reason = 'tenant_paused'
      union all
      select w.* from resumed as l cross join lateral (
        select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w
        where l.scope = 'queue' and w.reason = 'queue_paused' and w.queue = l.name and w.state = 'ready' order by w.reason, w.queue, w.tenant, w.kind limit 1000
      ) as w
    )
    select distinct g.reason, g.queue, g.tenant, g.kind from (
      select reason, queue, tenant, kind from first union all select reason, queue, tenant, kind from other union all select reason, queue, tenant, kind from freed) as g
  loop
    v_reason := jobledger.hold_reason(p_shard, v_group.tenant, v_group.queue, v_group.kind);
    if v_reason is null and v_group.reason = 'no_worker_for_kind' and not jobledger.can_take(p_shard, v_group.queue, v_group.tenant, v_group.kind, p_now) then
      v_reason := v_group.reason;
    end if;
    if v_reason is distinct from v_group.reason then
      with held as materialized (
        select w.ctid as place, w.* from jobledger.waiting as w
        where (w.shard = p_shard) is true and w.state = 'ready' and w.reason = v_group.reason and w.queue = v_group.queue and w.tenant = v_group.tenant and w.kind = v_group.kind
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
    exit when v_all >= p_most;
  end loop;
  return v_all;
end
$$;
