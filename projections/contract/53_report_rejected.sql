-- The reports of a batch that were not accepted: all are judged at once, and those rejected are recorded, once per (job, claim), in the worker's stream, or, of an unknown
-- worker, in the control stream `_unknown_worker` of the job's tenant. A job of a tenant that the caller may not see is recorded, as an id that nobody has.
-- What was recorded before is read once for the whole batch (a worker's stream holds all its heartbeats), under the worker's row lock, so that two batches that bring
-- the same report do not both record it. Workers come last in the lock order: the batch has its jobs' rows already.
drop function if exists jobledger.report_rejected;

create function jobledger.report_rejected(p_shard smallint, p_worker uuid, p_ids uuid[], p_claims int[], p_outcomes text[], p_now timestamptz)
returns table (id uuid, verdict text, state text, reason text)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_known boolean := jobledger.worker_is_mine(p_shard, p_worker) and exists (select from jobledger.workers as w where w.shard = p_shard and w.id = p_worker);
  v_streams uuid[];
  v_recorded jsonb;
  v_new jsonb[] := '{}';
  v_data jsonb;
  v_head int;
  v_judged record;
begin
  if v_known then
    perform from jobledger.workers as w where w.shard = p_shard and w.id = p_worker for update;
    v_streams := array[p_worker];
  else
    v_streams := array(select jobledger.control_id(t.tenant, 'worker', '_unknown_worker') from (select distinct e.tenant from unnest(p_ids) as i (id)
      cross join lateral (select x.tenant from jobledger.events as x where x.shard = p_shard and x.stream_id = i.id and x.version = 1 offset 0) as e) as t);
  end if;
  v_recorded := coalesce((select jsonb_object_agg(concat(e.data ->> 'job', ' ', e.data ->> 'claim'), true) from jobledger.events as e
    where e.shard = p_shard and e.stream_id = any (v_streams) and e.type = 'worker.report_rejected'), '{}');
  for v_judged in select * from jobledger.judge_rejected(p_shard, p_worker, v_known, p_ids, p_claims, p_outcomes) loop
    id := v_judged.id;
    verdict := v_judged.verdict;
    state := v_judged.state;
    reason := v_judged.reason;
    return next;
    continue when v_judged.verdict = 'repeated' or v_recorded ? concat(v_judged.id, ' ', v_judged.claim);
    v_data := jsonb_build_object('job', v_judged.id, 'claim', v_judged.claim, 'outcome', v_judged.outcome, 'reason', v_judged.reason);
    if v_known then
      v_new := v_new || v_data;
    elsif v_judged.tenant is not null then
      perform jobledger.append_control(p_shard, v_judged.tenant, 'worker', '_unknown_worker', 'worker.report_rejected', p_now, null, v_data || jsonb_build_object('worker', p_worker));
    end if;
  end loop;
  if cardinality(v_new) > 0 then
    update jobledger.workers as w set head = w.head + cardinality(v_new) where w.shard = p_shard and w.id = p_worker returning w.head into v_head;
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, worker, tenant, data)
    select nextval('jobledger.position'), pg_current_xact_id(), p_now, p_worker, v_head - cardinality(v_new) + n.ord, 'worker.report_rejected', p_shard, p_worker, '_global', n.data
    from unnest(v_new) with ordinality as n (data, ord);
    -- By job, so that a job's readers find them in whichever worker's stream they lie.
    insert into jobledger.rejected_reports (job, worker, version, shard)
    select (n.data ->> 'job')::uuid, p_worker, v_head - cardinality(v_new) + n.ord, p_shard from unnest(v_new) with ordinality as n (data, ord) on conflict do nothing;
  end if;
end
$$;
