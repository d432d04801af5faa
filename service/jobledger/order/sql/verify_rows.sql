-- What the tables say of some streams: $1 shard, $2 after this one, $3 up to this one. The order of the columns counts: they are compared in slices.
select id, place, state, head, tenant, queue, kind, owner, priority, attempt, max_attempts, unique_key, releases, timeout, run_at, kill_at, claim, worker, call, claimed_at, cancel_requested,
  timeout_at, finished_at, wake_at, reason, key_holder
from jobledger.verify_rows($1::smallint, $2::uuid, $3::uuid)
