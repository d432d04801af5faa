-- Judge the reports of a batch that were not accepted, each by its job's stream: `repeated` when this worker's very report of this claim is in the log (the answer to it was lost on its
-- way), else `rejected` and why. A job of a tenant that the caller may not see is judged like an id that nobody has; its tenant is null then.
-- One statement, and so one snapshot, for the batch. Plans: laterals, so that it is a few descents a report, whatever the statistics say. No `exists` among what is asked
-- for: the planner may make a hash of it, of every claim in the log that this worker made.
drop function if exists jobledger.judge_rejected;

create function jobledger.judge_rejected(p_shard smallint, p_worker uuid, p_known boolean, p_ids uuid[], p_claims int[], p_outcomes text[])
returns table (id uuid, claim int, outcome text, verdict text, state text, reason text, tenant text)
language sql stable
as $$
  select a.id, a.claim, a.outcome, case when s.repeated then 'repeated' else 'rejected' end, j.state,
    case when s.repeated then null when f.tenant is null then 'unknown_job' when j.state = 'running' then 'claimed_elsewhere'
      when j.state in ('succeeded', 'failed', 'killed', 'cancelled') then 'finished' else 'not_running' end, f.tenant
  from unnest(p_ids, p_claims, p_outcomes) with ordinality as a (id, claim, outcome, ord)
  left join lateral (
    select e.tenant from jobledger.events as e where e.shard = p_shard and e.stream_id = a.id and e.version = 1 and e.type = 'job.enqueued' and jobledger.may(e.tenant) offset 0
  ) as f on true
  left join lateral (select j.state::text as state from jobledger.jobs as j where f.tenant is not null and j.shard = p_shard and j.id = a.id limit 1) as j on true
  left join lateral (
    -- What this worker said of the job after that claim and before the next one.
    select e.type from jobledger.events as e where e.shard = p_shard and e.stream_id = a.id and e.version > a.claim and e.worker = p_worker
      and e.type in ('job.succeeded', 'job.failed', 'job.snoozed', 'job.interrupted', 'job.cancelled', 'job.parked')
      and not exists (select from jobledger.events as c where c.shard = p_shard and c.stream_id = a.id and c.type = 'job.claimed' and c.version > a.claim and c.version < e.version)
    order by e.version limit 1
  ) as r on true
  cross join lateral (
    select coalesce(p_known and j.state is not null and r.type::text in ('job.' || a.outcome, 'job.cancelled')
      and (select c.worker = p_worker from jobledger.events as c where c.shard = p_shard and c.stream_id = a.id and c.version = a.claim and c.type = 'job.claimed'), false) as repeated
  ) as s
  order by a.ord
$$;
