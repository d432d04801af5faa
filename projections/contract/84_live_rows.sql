-- Every row that a job has in the live tables and in `finished`, in one shape; `place` is where it lies: ready, held and due are one place.
drop function if exists jobledger.live_rows;

create function jobledger.live_rows(p_shard smallint, p_ids uuid[] default null)
returns table (id uuid, tenant text, place text, head int, claim int, said text)
language sql stable
as $$
  select r.id, r.tenant, 'open', r.head, null::int, concat_ws('|', r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.kill_at), r.owner, r.unique_key)
  from jobledger.ready as r where r.shard = p_shard and (p_ids is null or r.id = any (p_ids))
  union all
  select w.id, w.tenant, case w.state when 'parked' then 'parked' else 'open' end, w.head, null,
    concat_ws('|', w.kind, w.queue, w.priority, w.attempt, w.max_attempts, w.releases, w.timeout, extract(epoch from w.kill_at), w.owner, w.unique_key)
  from jobledger.waiting as w where w.shard = p_shard and (p_ids is null or w.id = any (p_ids))
  union all
  select r.id, r.tenant, 'running', r.head, r.claim, concat_ws('|', r.kind, r.queue, r.priority, r.attempt, r.max_attempts, r.releases, r.timeout, extract(epoch from r.kill_at), r.owner, r.unique_key,
    r.worker, r.call, r.cancel_requested)
  from jobledger.running as r where r.shard = p_shard and (p_ids is null or r.id = any (p_ids))
  union all
  select f.id, f.tenant, f.state::text, f.head, null, concat_ws('|', f.kind, f.queue, f.priority, f.attempt, f.max_attempts, f.owner)
  from jobledger.finished as f where f.shard = p_shard and (p_ids is null or f.id = any (p_ids))
$$;
