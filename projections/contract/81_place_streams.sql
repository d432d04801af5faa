-- Fold these jobs whole, by primary key, and put the open ones into their tables; returns how many are open. `on conflict do nothing` as in `place`.
-- A stream of nothing but enqueued, or enqueued and claimed, is what nearly all open jobs are: those are made by one statement for all, to the same rows as `evolve` makes
-- one by one (20 times the time); a test compares the two. In batches, so that neither memory nor a plan depends on how many there are. Each stream is looked up by its key in a lateral, which leaves the planner no choice: joined, a log that was never analysed was read whole for each job.
create or replace function jobledger.place_streams(p_shard smallint, p_ids uuid[]) returns bigint
language plpgsql
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off set work_mem = '64MB'
as $$
declare
  v_batch constant int := 20000;
  -- Before Postgres 17 a list beside its bounds may become a filter over all that lies between them, so each is looked up by itself there.
  v_listed constant boolean := current_setting('server_version_num')::int >= 170000;
  v_ids uuid[];
  v_rows bigint;
  v_placed bigint := 0;
begin
  for i in 0 .. (coalesce(cardinality(p_ids), 0) - 1) / v_batch loop
    v_ids := p_ids[i * v_batch + 1 : (i + 1) * v_batch];
    with head as materialized (
      select e.stream_id as id, max(e.version) as head,
        bool_and(case e.version when 1 then e.type = 'job.enqueued' when 2 then e.type = 'job.claimed' and e.attempt = 1 else false end) and min(e.version) = 1 as plain
      from (
        select x.stream_id, x.version, x.type, x.attempt from jobledger.events as x
        where v_listed and x.shard = p_shard and x.stream_id = any (v_ids) and x.stream_id >= v_ids[1] and x.stream_id <= v_ids[cardinality(v_ids)]
        union all
        select l.* from unnest(v_ids) as i (id) cross join lateral (
          select x.stream_id, x.version, x.type, x.attempt from jobledger.events as x
          where x.shard = p_shard and x.stream_id = i.id and x.stream_id >= v_ids[1] and x.stream_id <= v_ids[cardinality(v_ids)] offset 0
        ) as l where not v_listed
      ) as e
      group by e.stream_id
    ), first as materialized (
      select h.id, h.head, e.at, e.tenant, e.data ->> 'kind' as kind, coalesce(e.data ->> 'queue', 'default') as queue, coalesce((e.data ->> 'priority')::smallint, 0::smallint) as priority,
        coalesce((e.data ->> 'run_at')::timestamptz, e.at) as run_at, (e.data ->> 'kill_at')::timestamptz as kill_at, coalesce((e.data ->> 'timeout')::int, 1800) as timeout,
        coalesce((e.data ->> 'max_attempts')::smallint, 5::smallint) as max_attempts, e.data ->> 'owner' as owner, e.data ->> 'unique' as unique_key
      from head as h cross join lateral (select x.at, x.tenant, x.data from jobledger.events as x where x.shard = p_shard and x.stream_id = h.id and x.version = 1 offset 0) as e
      where h.plain
    ), folded as materialized (
      select s.* from (
        select (t.f).* from (
          select (select jobledger.fold(e order by e.version) from jobledger.events as e where e.shard = p_shard and e.stream_id = h.id) as f from head as h
          where not h.plain offset 0
        ) as t
      ) as s where s.state in ('ready', 'running', 'parked', 'blocked', 'suspended')
    ), enqueued as (
      insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
      select f.id, f.run_at, f.kill_at, 1, f.timeout, p_shard, f.priority, 0, f.max_attempts, 0, f.tenant, f.queue, f.kind, f.owner, f.unique_key
      from first as f where f.head = 1 and f.run_at <= f.at
      on conflict do nothing
    ), scheduled as (
      insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, wake_at)
      select f.id, f.run_at, f.kill_at, 1, f.timeout, p_shard, f.priority, 0, f.max_attempts, 0, f.tenant, f.queue, f.kind, f.owner, f.unique_key, 'scheduled', f.run_at
      from first as f where f.head = 1 and f.run_at > f.at
      on conflict do nothing
    ), claimed as (
      insert into jobledger.running (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
        worker, claimed_at, timeout_at, claim, call, cancel_requested)
      select f.id, f.run_at, f.kill_at, 2, f.timeout, p_shard, f.priority, 1, f.max_attempts, 0, f.tenant, f.queue, f.kind, f.owner, f.unique_key,
        c.worker, c.at, c.at + make_interval(secs => f.timeout), 2, (c.data ->> 'call')::int, false
      from first as f cross join lateral (select x.worker, x.at, x.data from jobledger.events as x where x.shard = p_shard and x.stream_id = f.id and x.version = 2 offset 0) as c
      where f.head = 2
      on conflict do nothing
    )
    select (select count(*) from first) + count(jobledger.place(row(f.*)::jobledger.folded)) into v_rows from folded as f;
    v_placed := v_placed + v_rows;
  end loop;
  return v_placed;
end
$$;
