-- An operator's act on jobs named by their ids: cancel, kill, retry, unpark, reschedule, reprioritise, move; each an event with actor and reason.
-- One verdict a job: done, requested (a running job is asked to cancel), not_found (also another tenant's), wrong_state, unique_taken.
-- Ids are taken in ascending order, so two acts, or an act and a report, over the same jobs do not deadlock.
-- Plans: a table that was small when the statement was planned is not read from end to end for each job when it has grown.
drop function if exists jobledger.act;

create function jobledger.act(p_shard smallint, p_act text, p_tenant text, p_ids uuid[], p_actor text, p_reason text, p_data jsonb default '{}')
returns table (id uuid, verdict text, state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.must_be_open(p_shard);
  perform jobledger.check_act(p_act, p_ids, p_actor, p_reason, p_data, v_now);
  return query select a.id, r.verdict, r.state
  from (select distinct u.id from unnest(p_ids) as u (id) where u.id is not null order by u.id) as a
  cross join lateral jobledger.act_on_job(p_shard, p_act, p_tenant, a.id, p_actor, p_reason, coalesce(p_data, '{}'), v_now) as r;
end
$$;
