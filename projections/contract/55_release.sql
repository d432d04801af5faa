-- Release one running job of a worker at no cost (the worker has said that it will never run it); the third free release in a row costs an attempt.
-- The caller holds the worker's row; the job's row is taken with SKIP LOCKED, since its report may be under way. Null: it was not there to release.
-- `is true` keeps the look away from the index of workers, by which n releases would read n x n rows.
create or replace function jobledger.release(p_shard smallint, p_worker uuid, p_id uuid, p_now timestamptz) returns text
language plpgsql
as $$
declare
  s jobledger.folded;
begin
  perform from jobledger.running as r where r.shard = p_shard and r.id = p_id and (r.worker = p_worker) is true for update skip locked;
  if not found then
    return null;
  end if;
  s := jobledger.taken(p_shard, p_id);
  if s.cancel_requested then
    s := jobledger.append(s, 'job.cancelled', p_now, null, null, p_worker, s.attempt);
  elsif s.releases < 2 then
    s := jobledger.append(s, 'job.released', p_now, null, null, p_worker, s.attempt);
  else
    s := jobledger.append(s, 'job.failed', p_now, null, jsonb_build_object('error', jsonb_build_object('type', 'ReleasedTooOften', 'class', 'transient',
      'message', 'Its workers gave the job up three times in a row without running it.'))
      || case when s.attempt < s.max_attempts then jsonb_build_object('retry_at', p_now) else '{}' end, p_worker, s.attempt);
  end if;
  return s.state::text;
end
$$;
