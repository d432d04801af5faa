-- Judge one report that was not accepted, by the job's stream: `repeated` when this worker's very report of this claim is in the log (the answer to it was lost on its
-- way), else `rejected` and why. A job of a tenant that the caller may not see is judged like an id that nobody has; its tenant is null then.
drop function if exists jobledger.judge_rejected;

create function jobledger.judge_rejected(p_shard smallint, p_worker uuid, p_known boolean, p_id uuid, p_claim int, p_outcome text,
  out verdict text, out state text, out reason text, out tenant text)
language plpgsql stable
as $$
#variable_conflict use_column
declare
  v_event jobledger.events;
begin
  select e.tenant into judge_rejected.tenant from jobledger.events as e
  where e.shard = p_shard and e.stream_id = p_id and e.version = 1 and e.type = 'job.enqueued' and jobledger.may(e.tenant);
  select e.* into v_event from jobledger.events as e
  where e.shard = p_shard and e.stream_id = p_id and e.version > p_claim and e.worker = p_worker
    and e.type in ('job.succeeded', 'job.failed', 'job.snoozed', 'job.interrupted', 'job.cancelled', 'job.parked')
    and not exists (select from jobledger.events as c where c.shard = p_shard and c.stream_id = p_id and c.type = 'job.claimed' and c.version > p_claim and c.version < e.version)
  order by e.version limit 1;
  select j.state::text into judge_rejected.state from jobledger.jobs as j where j.shard = p_shard and j.id = p_id and judge_rejected.tenant is not null;
  if found and p_known and v_event.type is not null and v_event.type::text in ('job.' || p_outcome, 'job.cancelled')
    and exists (select from jobledger.events as c where c.shard = p_shard and c.stream_id = p_id and c.version = p_claim and c.type = 'job.claimed' and c.worker = p_worker) then
    verdict := 'repeated';
    return;
  end if;
  reason := case when tenant is null then 'unknown_job' when state = 'running' then 'claimed_elsewhere' when state in ('succeeded', 'failed', 'killed', 'cancelled') then 'finished'
    else 'not_running' end;
  verdict := 'rejected';
end
$$;
