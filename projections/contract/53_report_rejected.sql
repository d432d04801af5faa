-- Judge one report that was not accepted: `repeated` when this worker's very report of this claim is in the log (the answer to it was lost on its way), else
-- `rejected`, which is recorded once per (job, claim) in the worker's stream, or, of an unknown worker, in the control stream `_unknown_worker` of the tenant.
-- A job of a tenant that the caller may not see is judged, and recorded, like an id that nobody has.
drop function if exists jobledger.report_rejected;

create function jobledger.report_rejected(p_shard smallint, p_worker uuid, p_id uuid, p_claim int, p_outcome text, p_now timestamptz)
returns table (id uuid, verdict text, state text, reason text)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_event jobledger.events;
  v_known boolean := jobledger.worker_is_mine(p_shard, p_worker) and exists (select from jobledger.workers as w where w.shard = p_shard and w.id = p_worker);
  v_tenant text;
  v_state text;
  v_reason text;
  v_data jsonb;
begin
  select e.tenant into v_tenant from jobledger.events as e
  where e.shard = p_shard and e.stream_id = p_id and e.version = 1 and e.type = 'job.enqueued' and jobledger.may(e.tenant);
  select e.* into v_event from jobledger.events as e
  where e.shard = p_shard and e.stream_id = p_id and e.version > p_claim and e.worker = p_worker
    and e.type in ('job.succeeded', 'job.failed', 'job.snoozed', 'job.interrupted', 'job.cancelled', 'job.parked')
    and not exists (select from jobledger.events as c where c.shard = p_shard and c.stream_id = p_id and c.type = 'job.claimed' and c.version > p_claim and c.version < e.version)
  order by e.version limit 1;
  select j.state::text into v_state from jobledger.jobs as j where j.shard = p_shard and j.id = p_id and v_tenant is not null;
  if found and v_known and v_event.type is not null and v_event.type::text in ('job.' || p_outcome, 'job.cancelled')
    and exists (select from jobledger.events as c where c.shard = p_shard and c.stream_id = p_id and c.version = p_claim and c.type = 'job.claimed' and c.worker = p_worker) then
    return query select p_id, 'repeated', v_state, null::text;
    return;
  end if;
  v_reason := case when v_tenant is null then 'unknown_job' when v_state = 'running' then 'claimed_elsewhere' when v_state in ('succeeded', 'failed', 'killed', 'cancelled') then 'finished'
    else 'not_running' end;
  v_data := jsonb_build_object('job', p_id, 'claim', p_claim, 'outcome', p_outcome, 'reason', v_reason);
  if v_known then
    if not exists (select from jobledger.events as e where e.shard = p_shard and e.stream_id = p_worker and e.type = 'worker.report_rejected'
        and e.data ->> 'job' = p_id::text and (e.data ->> 'claim')::int = p_claim) then
      perform jobledger.append_worker(p_shard, p_worker, 'worker.report_rejected', p_now, null, v_data);
    end if;
  elsif v_tenant is not null and not exists (select from jobledger.events as e where e.shard = p_shard and e.stream_id = jobledger.control_id(v_tenant, 'worker', '_unknown_worker')
      and e.data ->> 'job' = p_id::text and (e.data ->> 'claim')::int = p_claim) then
    perform jobledger.append_control(p_shard, v_tenant, 'worker', '_unknown_worker', 'worker.report_rejected', p_now, null, v_data || jsonb_build_object('worker', p_worker));
  end if;
  return query select p_id, 'rejected', v_state, v_reason;
end
$$;
