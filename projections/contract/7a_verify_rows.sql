-- What the tables say of the streams after `p_after` up to `p_upto`: each row of a job in the live tables and in `finished`, and the heads that workers, kinds, limits and
-- control streams keep (place `register`). In one snapshot with the page of events that it is compared with. Only for who sees every tenant.
drop function if exists jobledger.verify_rows;

create function jobledger.verify_rows(p_shard smallint, p_after uuid, p_upto uuid)
returns table (id uuid, place text, state text, head int, tenant text, queue text, kind text, owner text, priority smallint, attempt smallint, max_attempts smallint, finished_at timestamptz,
  unique_key text, key_holder uuid, releases smallint, timeout int, run_at timestamptz, kill_at timestamptz, wake_at timestamptz, reason text, worker uuid, claim int, call int, claimed_at timestamptz,
  timeout_at timestamptz, cancel_requested boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_verify(p_shard, 1, num_nulls(p_after, p_upto));
  perform jobledger.must_be_open(p_shard);
  return query
  select f.id, 'finished', f.state::text, f.head, f.tenant, f.queue, f.kind, f.owner, f.priority, f.attempt, f.max_attempts, f.finished_at,
    null::text, null::uuid, null::smallint, null::int, null::timestamptz, null::timestamptz, null::timestamptz, null::text, null::uuid, null::int, null::int, null::timestamptz,
    null::timestamptz, null::boolean
  from jobledger.finished as f where f.shard = p_shard and f.id > p_after and f.id <= p_upto;
  return query
  select l.id, l.place, l.state, l.head, l.tenant, l.queue, l.kind, l.owner, l.priority, l.attempt, l.max_attempts, null::timestamptz, l.unique_key,
    (select u.id from jobledger.unique_keys as u where u.shard = p_shard and u.tenant = l.tenant and u.key = l.unique_key),
    l.releases, l.timeout, l.run_at, l.kill_at, l.wake_at, l.reason, l.worker, l.claim, l.call, l.claimed_at, l.timeout_at, l.cancel_requested
  from (
    select r.id, 'ready' as place, 'ready' as state, r.head, r.tenant, r.queue, r.kind, r.owner, r.priority, r.attempt, r.max_attempts, r.unique_key, r.releases, r.timeout, r.run_at, r.kill_at,
      null::timestamptz as wake_at, null::text as reason, null::uuid as worker, null::int as claim, null::int as call, null::timestamptz as claimed_at, null::timestamptz as timeout_at,
      null::boolean as cancel_requested
    from jobledger.ready as r where r.shard = p_shard and r.id > p_after and r.id <= p_upto
    union all
    select w.id, 'waiting', w.state::text, w.head, w.tenant, w.queue, w.kind, w.owner, w.priority, w.attempt, w.max_attempts, w.unique_key, w.releases, w.timeout, w.run_at, w.kill_at,
      w.wake_at, w.reason, null, null, null, null, null, null
    from jobledger.waiting as w where w.shard = p_shard and w.id > p_after and w.id <= p_upto
    union all
    select r.id, 'running', 'running', r.head, r.tenant, r.queue, r.kind, r.owner, r.priority, r.attempt, r.max_attempts, r.unique_key, r.releases, r.timeout, r.run_at, r.kill_at,
      null, null, r.worker, r.claim, r.call, r.claimed_at, r.timeout_at, r.cancel_requested
    from jobledger.running as r where r.shard = p_shard and r.id > p_after and r.id <= p_upto
  ) as l;
  return query
  select h.id, 'register', h.what, h.head, null::text, null::text, null::text, null::text, null::smallint, null::smallint, null::smallint, null::timestamptz,
    null::text, null::uuid, null::smallint, null::int, null::timestamptz, null::timestamptz, null::timestamptz, null::text, null::uuid, null::int, null::int, null::timestamptz,
    null::timestamptz, null::boolean
  from (
    select w.id, 'worker' as what, w.head from jobledger.workers as w where w.shard = p_shard and w.id > p_after and w.id <= p_upto
    union all
    select s.id, 'stream', s.head from jobledger.streams as s where s.shard = p_shard and s.id > p_after and s.id <= p_upto
    union all
    select k.id, 'kind', k.head from jobledger.kinds as k where k.shard = p_shard and k.id > p_after and k.id <= p_upto
    union all
    select l.id, 'limit', l.head from jobledger.limits as l where l.shard = p_shard and l.id > p_after and l.id <= p_upto
  ) as h;
end
$$;
