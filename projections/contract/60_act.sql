-- An operator's act on jobs named by their ids: cancel, kill, retry, unpark, reschedule, reprioritise, move; each an event with actor and reason.
-- One verdict a job: done, requested (a running job is asked to cancel), not_found (also another tenant's), job_gone (its part of the log was given up), wrong_state, unique_taken.
-- With `p_owner` only that owner's jobs are met, anybody else's is not_found: a job keeps its tenant and its owner for life, so the look in front of each act holds until it is done.
-- Ids are taken in ascending order, so two acts, or an act and a report, over the same jobs do not deadlock.
-- An act that made jobs claimable tells idle workers, as an enqueue does; that it is in its transaction breaks PREPARE TRANSACTION likewise (see hint).
-- Plans: a table that was small when the statement was planned is not read from end to end for each job when it has grown.
drop function if exists jobledger.act;

create function jobledger.act(p_shard smallint, p_act text, p_tenant text, p_ids uuid[], p_actor text, p_reason text, p_data jsonb default '{}', p_owner text default null)
returns table (id uuid, verdict text, state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_done uuid[] := '{}';
  v_due text[];
begin
  perform jobledger.must_be_open(p_shard);
  perform jobledger.check_act(p_act, p_ids, p_actor, p_reason, p_data, v_now);
  for id, verdict, state in
    select a.id, r.verdict, r.state
    from (select distinct u.id from unnest(p_ids) as u (id) where u.id is not null order by u.id) as a
    cross join lateral jobledger.act_on_job(p_shard, p_act, p_tenant, a.id, p_actor, p_reason, coalesce(p_data, '{}'), v_now, p_owner) as r
  loop
    if act.verdict = 'done' then
      v_done := v_done || act.id;
    end if;
    return next;
  end loop;
  if p_act in ('retry', 'unpark', 'reschedule', 'move') and exists (select from jobledger.idle as i where i.shard = p_shard) then
    select array[min(r.queue), max(r.queue), min(r.tenant), max(r.tenant), min(r.kind), max(r.kind)] into v_due
    from jobledger.ready as r where r.shard = p_shard and r.id = any (v_done) and r.run_at <= v_now;
    if v_due[1] is not null then
      perform jobledger.hint(p_shard, case when v_due[1] = v_due[2] then v_due[1] end, case when v_due[3] = v_due[4] then v_due[3] end, case when v_due[5] = v_due[6] then v_due[5] end);
    end if;
  end if;
end
$$;
