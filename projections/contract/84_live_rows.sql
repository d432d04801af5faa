-- Every row that a job has in the live tables and in `finished`, in one shape; `place` is where it lies: ready, held and due are one place.
-- A waiting row that nothing would ever wake or bring back lies astray.
drop function if exists jobledger.live_rows;

create function jobledger.live_rows(p_shard smallint, p_ids uuid[] default null)
returns table (id uuid, tenant text, place text, head int, claim int, said text)
language sql stable
as $$
  select r.id, r.tenant, 'open', r.head, null::int, row(r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.run_at), extract(epoch from r.kill_at), r.owner, r.unique_key, null, null, null, null, null)::text
  from jobledger.ready as r where r.shard = p_shard and (p_ids is null or r.id = any (p_ids))
  union all
  select w.id, w.tenant, case when w.state = 'parked' then 'parked' when w.state = 'scheduled' and w.wake_at = w.run_at or w.state = 'ready' and w.reason is not null then 'open' else 'astray' end, w.head, null,
    row(w.kind, w.queue, w.priority, w.attempt, w.max_attempts, w.releases, w.timeout, extract(epoch from w.run_at), extract(epoch from w.kill_at), w.owner, w.unique_key, null, null, null, null, null)::text
  from jobledger.waiting as w where w.shard = p_shard and (p_ids is null or w.id = any (p_ids))
  union all
  select r.id, r.tenant, 'running', r.head, r.claim, row(r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.run_at), extract(epoch from r.kill_at), r.owner, r.unique_key,
    r.worker, r.call, r.cancel_requested, extract(epoch from r.claimed_at), extract(epoch from r.timeout_at))::text
  from jobledger.running as r where r.shard = p_shard and (p_ids is null or r.id = any (p_ids))
  union all
  select f.id, f.tenant, f.state::text, f.head, null, row(f.kind, f.queue, f.priority, f.attempt, f.max_attempts, f.owner, extract(epoch from f.finished_at))::text
  from jobledger.finished as f where f.shard = p_shard and (p_ids is null or f.id = any (p_ids))
$$;
