-- Every row that a job has in the live tables and in `finished`, in one shape; `place` is where it lies: ready, held and due are one place.
-- A waiting row that nothing would ever wake or bring back lies astray. For some jobs each table is asked by one descent a job, in a lateral: left to the planner, a table
-- that seems empty is read by `shard` alone, with the dead entries of all that went through it.
drop function if exists jobledger.live_rows;

create function jobledger.live_rows(p_shard smallint, p_ids uuid[] default null)
returns table (id uuid, tenant text, place text, head int, claim int, said text)
language sql stable
as $$
  select r.id, r.tenant, 'open', r.head, null::int, row(r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.run_at), extract(epoch from r.kill_at), r.owner, r.unique_key, null, null, null, null, null)::text
  from (
    select x.* from jobledger.ready as x where p_ids is null and x.shard = p_shard
    union all
    select x.* from (select distinct i from unnest(p_ids) as i) as i (id) cross join lateral (select y.* from jobledger.ready as y where y.shard = p_shard and y.id = i.id offset 0) as x
  ) as r
  union all
  select w.id, w.tenant, case when w.state = 'parked' then 'parked' when w.state = 'scheduled' and w.wake_at = w.run_at or w.state = 'ready' and w.reason is not null then 'open' else 'astray' end, w.head, null,
    row(w.kind, w.queue, w.priority, w.attempt, w.max_attempts, w.releases, w.timeout, extract(epoch from w.run_at), extract(epoch from w.kill_at), w.owner, w.unique_key, null, null, null, null, null)::text
  from (
    select x.* from jobledger.waiting as x where p_ids is null and x.shard = p_shard
    union all
    select x.* from (select distinct i from unnest(p_ids) as i) as i (id) cross join lateral (select y.* from jobledger.waiting as y where y.shard = p_shard and y.id = i.id offset 0) as x
  ) as w
  union all
  select r.id, r.tenant, 'running', r.head, r.claim, row(r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.run_at), extract(epoch from r.kill_at), r.owner, r.unique_key,
    r.worker, r.call, r.cancel_requested, extract(epoch from r.claimed_at), extract(epoch from r.timeout_at))::text
  from (
    select x.* from jobledger.running as x where p_ids is null and x.shard = p_shard
    union all
    select x.* from (select distinct i from unnest(p_ids) as i) as i (id) cross join lateral (select y.* from jobledger.running as y where y.shard = p_shard and y.id = i.id offset 0) as x
  ) as r
  union all
  select f.id, f.tenant, f.state::text, f.head, null, row(f.kind, f.queue, f.priority, f.attempt, f.max_attempts, f.owner, extract(epoch from f.finished_at))::text
  from (
    select x.* from jobledger.finished as x where p_ids is null and x.shard = p_shard
    union all
    select x.* from (select distinct i from unnest(p_ids) as i) as i (id) cross join lateral (select y.* from jobledger.finished as y where y.shard = p_shard and y.id = i.id offset 0) as x
  ) as f
$$;
