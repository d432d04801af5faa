-- Bring held jobs back once nothing holds them any more, the most urgent of those looked at first; where something else holds them, only the reason changes.
-- A call looks at groups (reason, queue, tenant, kind) that resumes of the last five minutes let go (2000 at most, by chance), and at 24 each from the first, from the first that no worker could take, and
-- from a random one on (now and then at 1000 of the first), by one descent of the index each: few groups are all seen at every call, and what many cost does not grow with them. Where the
-- limits are many, resumes are looked for by one call in eight. Of the groups that changed, about 4 * p_most rows are read, so the order is exact where no more are held.
-- A row is looked at again when it is locked. A pause that comes between is seen by claims, and by the next `hold`.
create or replace function jobledger.unhold(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql
as $$
declare
  v_reason text;
  v_queue text;
  v_tenant text;
  v_kind text;
  v_resumes boolean := random() < 0.125 or (select count(*) from (select from jobledger.limits limit 257) as x) <= 256;
  v_places tid[];
  v_was text[];
  v_becomes text[];
  v_moved int;
begin
  if not exists (select from jobledger.waiting as w where w.state = 'ready') then
    return 0;
  end if;
  select w.reason, w.queue, w.tenant, w.kind into v_reason, v_queue, v_tenant, v_kind
  from jobledger.waiting as w tablesample system (least(100, 200.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.waiting')))) where w.state = 'ready' limit 1;
  with recursive resumed as materialized (
    select l.scope, l.name from jobledger.limits as l
    where v_resumes and l.shard = p_shard and not l.paused and l.changed_at > p_now - interval '5 minutes' order by random() limit 2000
  ), queue as (
    (select w.queue, 1 as nth from jobledger.waiting as w where w.state = 'ready' and w.reason = 'tenant_paused' and exists (select from resumed) order by w.reason, w.queue limit 1)
    union all
    select n.queue, q.nth + 1 from queue as q cross join lateral (
      select w.queue from jobledger.waiting as w where w.state = 'ready' and w.reason = 'tenant_paused' and w.queue > q.queue order by w.reason, w.queue limit 1) as n where q.nth < 16
  ), found as (
    select g.* from jobledger.held_groups('', '', '', '', case when random() < 0.02 then 1000 else 24 end) as g
    union all select g.* from jobledger.held_groups('no_worker_for_kind', '', '', '', 24) as g where g.reason = 'no_worker_for_kind'
    union all select g.* from jobledger.held_groups(v_reason, v_queue, v_tenant, v_kind, 24) as g where v_reason is not null
    union all (select g.* from resumed as l cross join queue as q cross join lateral (
      select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w where w.state = 'ready' and w.reason = 'tenant_paused' and w.queue = q.queue and w.tenant = l.name
      order by w.reason, w.queue, w.tenant, w.kind limit 50) as g where l.scope = 'tenant' limit 1000)
    union all select g.* from resumed as l cross join lateral (
      select w.reason, w.queue, w.tenant, w.kind from jobledger.waiting as w where w.state = 'ready' and w.reason = 'queue_paused' and w.queue = l.name
      order by w.reason, w.queue, w.tenant, w.kind limit p_most) as g where l.scope = 'queue'
  ), told as materialized (
    select g.*, coalesce(jobledger.hold_reason(p_shard, g.tenant, g.queue, g.kind),
      case when g.reason = 'no_worker_for_kind' and not jobledger.can_take(p_shard, g.queue, g.tenant, g.kind, p_now) then g.reason end) as becomes
    from (select distinct f.reason, f.queue, f.tenant, f.kind from found as f) as g
  ), changed as materialized (
    select t.*, (4 * p_most + count(*) over () - 1) / count(*) over () as share from told as t where t.becomes is distinct from t.reason
  )
  select array_agg(r.place), array_agg(r.reason), array_agg(r.becomes) into v_places, v_was, v_becomes from (
    select h.place, c.reason, c.becomes from changed as c cross join lateral (
      select w.ctid as place, w.priority, w.run_at, w.id from jobledger.waiting as w
      where w.state = 'ready' and w.reason = c.reason and w.queue = c.queue and w.tenant = c.tenant and w.kind = c.kind limit c.share
    ) as h order by h.priority, h.run_at, h.id limit p_most
  ) as r;
  if v_places is null then
    return 0;
  end if;
  with held as materialized (
    select w.ctid as place, p.becomes, w.* from unnest(v_places, v_was, v_becomes) as p (place, was, becomes)
    join jobledger.waiting as w on w.ctid = p.place
    where (w.shard = p_shard) is true and w.state = 'ready' and w.reason = p.was
    for update of w skip locked
  ), kept as (
    update jobledger.waiting as w set reason = h.becomes from held as h where h.becomes is not null and w.ctid = h.place
  ), gone as (
    delete from jobledger.waiting as w where w.ctid = any (array(select h.place from held as h where h.becomes is null))
  ), placed as (
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key from held where becomes is null
  )
  select count(*) into v_moved from held;
  return v_moved;
end
$$;
