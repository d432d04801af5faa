-- Every job, live and finished, one row each, with its state by the clock of the answer. Row security of the tables applies to who asks.
create or replace view jobledger.jobs with (security_invoker = true) as
select r.shard, r.id, r.tenant, r.queue, r.kind, 'ready'::jobledger.job_state as state, r.priority, r.attempt, r.max_attempts, r.owner, r.head,
  r.run_at, r.kill_at, null::uuid as worker, null::int as claim, null::timestamptz as claimed_at, null::timestamptz as finished_at, null::text as reason,
  jobledger.time_of(r.id) as enqueued_at
from jobledger.ready as r
union all
select w.shard, w.id, w.tenant, w.queue, w.kind, case when w.state = 'scheduled' and w.wake_at <= jobledger.answered_at() then 'ready' else w.state end,
  w.priority, w.attempt, w.max_attempts, w.owner, w.head, w.run_at, w.kill_at, null, null, null, null, w.reason, jobledger.time_of(w.id)
from jobledger.waiting as w
union all
select r.shard, r.id, r.tenant, r.queue, r.kind, 'running', r.priority, r.attempt, r.max_attempts, r.owner, r.head, r.run_at, r.kill_at,
  r.worker, r.claim, r.claimed_at, null, case when r.cancel_requested then 'cancel_requested' end, jobledger.time_of(r.id)
from jobledger.running as r
union all
select f.shard, f.id, f.tenant, f.queue, f.kind, f.state, f.priority, f.attempt, f.max_attempts, f.owner, f.head, null, null,
  null, null, null, f.finished_at, null, jobledger.time_of(f.id)
from jobledger.finished as f;
