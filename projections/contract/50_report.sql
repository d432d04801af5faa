-- Report how jobs ended, in a batch; ids ascending. Law 4: a report whose claim is not the row's changes nothing and is recorded once.
--
-- Races: the rows are locked in the order of their ids (unordered batches deadlock); a row that a kill, a rescue or another report took away meanwhile is not
-- there any more and its report is judged by `report_rejected`; a row that an act had taken and put back under the same claim is not lost: the report is made again.
-- A row that was waited for because `progressed` was being put on record has a new version, which this statement's snapshot does not see: it can lock it, and neither
-- delete nor change it. That is done by a second statement, else the job would be finished and running at once.
-- `is true` keeps the index of workers out of the plan, which reads all that the worker runs.
-- A worker of another role, or a job of a tenant that the caller may not see, is unknown. Plans: each job is looked up by its primary key, in a subquery of its own, which leaves
-- the planner no choice; elsewhere no nested loop, so an estimate gone wrong cannot turn n reports into n x n. `report_successes` finds all by one list, which before Postgres 17 may
-- become a filter over whatever runs between the least and the greatest id.
-- Outcomes: succeeded, failed, snoozed, interrupted, cancelled, parked, progressed. `failed` may say retry_at or retry_in (seconds) or final: true; where it says
-- nothing the delay is 2^attempt seconds, at most an hour. A job that was asked to cancel is cancelled by whatever ends it but success.
-- p_terse: the answer leaves out what was accepted.
drop function if exists jobledger.report;

create function jobledger.report(p_shard smallint, p_worker uuid, p_ids uuid[], p_claims int[], p_outcomes text[], p_datas jsonb[], p_terse boolean default false)
returns table (id uuid, verdict text, state text, reason text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenants text[] := jobledger.worker_tenants(null);
  v_worker uuid := case when jobledger.worker_is_mine(p_shard, p_worker) then p_worker end;
  v_ids uuid[];
  v_states text[];
  v_heads int[];
  v_seen int;
  v_keyed uuid[];
  v_back int[];
begin
  perform jobledger.must_be_open(p_shard);
  if p_worker is null then
    perform jobledger.refuse('JL101', 'A report names its worker.', 'Mend the call.');
  end if;
  perform jobledger.check_reports(p_shard, p_ids, p_claims, p_outcomes, p_datas);
  if current_setting('server_version_num')::int >= 170000 and cardinality(array_remove(p_outcomes, 'succeeded')) = 0 and cardinality(array_remove(p_claims, p_claims[1])) = 0 and cardinality(array_remove(p_datas, null)) = 0 then
    v_ids := jobledger.report_successes(p_shard, p_worker, v_worker, p_ids, p_claims[1], v_tenants, v_now);
    v_states := array_fill('succeeded'::text, array[coalesce(cardinality(v_ids), 0)]);
  else
    with asked as (
      select a.* from unnest(p_ids, p_claims, p_outcomes, p_datas) as a (id, claim, outcome, data)
    ), locked as materialized (
      select r.* from unnest(p_ids) as a (id) cross join lateral (
        select r.ctid as place, r.* from jobledger.running as r where r.shard = p_shard and r.id = a.id and (r.worker = v_worker) is true for update
      ) as r
    ), heard as (
      select l.*, a.data, case when l.cancel_requested and a.outcome not in ('succeeded', 'progressed', 'cancelled') then 'cancelled' else a.outcome end as outcome
      from locked as l join asked as a on a.id = l.id and a.claim = l.claim and (v_tenants is null or l.tenant = any (v_tenants))
    ), judged as materialized (
      select h.*,
        case when h.outcome = 'failed' and h.attempt < h.max_attempts and (h.data -> 'final') is distinct from 'true'
          then coalesce((h.data ->> 'retry_at')::timestamptz, v_now + make_interval(secs => coalesce((h.data ->> 'retry_in')::float8, least(3600, 2 ^ least(h.attempt, 12)))))
          when h.outcome = 'snoozed' then (h.data ->> 'run_at')::timestamptz
          else h.run_at end as next_run_at,
        case when h.outcome in ('snoozed', 'interrupted', 'parked') then h.attempt - 1 else h.attempt end as next_attempt,
        case h.outcome when 'succeeded' then 'succeeded' when 'cancelled' then 'cancelled' when 'parked' then 'parked' when 'progressed' then 'running'
          when 'failed' then case when h.attempt < h.max_attempts and (h.data -> 'final') is distinct from 'true' then 'ready' else 'failed' end
          else 'ready' end::jobledger.job_state as next_state
      from heard as h
    ), gone as (
      delete from jobledger.running as r where r.ctid = any (array(select j.place from judged as j where j.next_state <> 'running')) returning 1
    ), still as (
      update jobledger.running as r set head = r.head + 1 where r.ctid = any (array(select j.place from judged as j where j.next_state = 'running')) returning 1
    ), again as (
      insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
      select j.id, j.next_run_at, j.kill_at, j.head + 1, j.timeout, j.shard, j.priority, j.next_attempt, j.max_attempts, 0, j.tenant, j.queue, j.kind, j.owner, j.unique_key
      from judged as j where j.next_state = 'ready' and j.next_run_at <= v_now
    ), later as (
      insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, reason, wake_at)
      select j.id, j.next_run_at, j.kill_at, j.head + 1, j.timeout, j.shard, j.priority, j.next_attempt, j.max_attempts, 0, j.tenant, j.queue, j.kind, j.owner, j.unique_key,
        case j.next_state when 'parked' then 'parked' else 'scheduled' end::jobledger.job_state, case j.next_state when 'parked' then j.data ->> 'reason' end,
        case j.next_state when 'ready' then j.next_run_at end
      from judged as j where j.next_state = 'parked' or (j.next_state = 'ready' and j.next_run_at > v_now)
    ), ended as (
      insert into jobledger.finished (id, finished_at, head, state, shard, priority, attempt, max_attempts, tenant, queue, kind, owner)
      select j.id, v_now, j.head + 1, j.next_state, j.shard, j.priority, j.attempt, j.max_attempts, j.tenant, j.queue, j.kind, j.owner
      from judged as j where j.next_state in ('succeeded', 'failed', 'cancelled')
    ), logged as (
      insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant, data)
      select nextval('jobledger.position'), pg_current_xact_id(), v_now, j.id, j.head + 1, case j.outcome when 'succeeded' then 'job.succeeded' else 'job.' || j.outcome end::jobledger.event_type, j.shard, j.attempt, p_worker, j.tenant,
        case j.outcome when 'failed' then (coalesce(j.data, '{}') - 'final' - 'retry_in' - 'retry_at')
            || case j.next_state when 'ready' then jsonb_build_object('retry_at', j.next_run_at) else '{}' end
          when 'snoozed' then j.data || jsonb_build_object('run_at', j.next_run_at) else j.data end
      from judged as j
    )
    select array_agg(j.id order by j.id), array_agg(j.next_state::text order by j.id), array_agg(j.id) filter (where j.unique_key is not null and j.next_state in ('succeeded', 'failed', 'cancelled')),
      array_agg(j.head order by j.id), (select count(*) from gone) + (select count(*) from still)
    into v_ids, v_states, v_keyed, v_heads, v_seen
    from judged as j;
    if v_seen < cardinality(v_ids) then
      delete from jobledger.running as r where r.ctid = any (array(select x.place from unnest(v_ids, v_states, v_heads) as m (id, state, head) cross join lateral (
        select r.ctid as place from jobledger.running as r where r.shard = p_shard and r.id = m.id and r.head = m.head and m.state <> 'running' offset 0) as x));
      update jobledger.running as r set head = r.head + 1 where r.ctid = any (array(select x.place from unnest(v_ids, v_states, v_heads) as m (id, state, head) cross join lateral (
        select r.ctid as place from jobledger.running as r where r.shard = p_shard and r.id = m.id and r.head = m.head and m.state = 'running' offset 0) as x));
    end if;
    if v_keyed is not null then
      perform jobledger.release_unique_keys(p_shard, v_keyed);
    end if;
  end if;
  if v_ids is not null and not coalesce(p_terse, false) then
    return query select a.id, 'accepted', a.state, null::text from unnest(v_ids, v_states) as a (id, state);
  end if;
  if coalesce(cardinality(v_ids), 0) < cardinality(p_ids) then
    select array_agg(a.ord::int order by a.ord) into v_back from unnest(p_ids, p_claims) with ordinality as a (id, claim, ord)
    cross join lateral (
      select from jobledger.running as r where r.shard = p_shard and r.id = a.id and r.claim = a.claim and (r.worker = v_worker) is true
        and (v_tenants is null or r.tenant = any (v_tenants)) offset 0
    ) as r where a.id <> all (coalesce(v_ids, '{}'));
    if v_back is not null then
      return query select r.* from jobledger.report(p_shard, p_worker, array(select p_ids[o] from unnest(v_back) as o), array(select p_claims[o] from unnest(v_back) as o),
        array(select p_outcomes[o] from unnest(v_back) as o), array(select p_datas[o] from unnest(v_back) as o), p_terse) as r;
      v_ids := v_ids || array(select p_ids[o] from unnest(v_back) as o);
    end if;
    select array_agg(a.id order by a.id), array_agg(a.claim order by a.id), array_agg(a.outcome order by a.id) into p_ids, p_claims, p_outcomes
    from unnest(p_ids, p_claims, p_outcomes) as a (id, claim, outcome) where a.id <> all (coalesce(v_ids, '{}'));
    if p_ids is not null then
      return query select r.* from jobledger.report_rejected(p_shard, p_worker, p_ids, p_claims, p_outcomes, v_now) as r;
    end if;
  end if;
end
$$;
