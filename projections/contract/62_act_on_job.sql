-- One act on one job. A claim may carry the job from `ready` to `running` between our two looks (the lock is waited for, the row is gone): then look again.
-- Of many acts on one job at once each round lets one through, hence the many looks; each waits at a lock, none spins.
drop function if exists jobledger.act_on_job;

create function jobledger.act_on_job(p_shard smallint, p_act text, p_tenant text, p_id uuid, p_actor text, p_reason text, p_data jsonb, p_now timestamptz, p_owner text default null, out verdict text, out state text)
language plpgsql
as $$
declare
  s jobledger.folded;
  v_job record;
  v_said jsonb := jsonb_strip_nulls(jsonb_build_object('reason', p_reason));
  v_allowed text[];
begin
  for i in 1 .. 100 loop
    select j.tenant, j.owner, j.state into v_job from jobledger.jobs as j where j.shard = p_shard and j.id = p_id;
    if not found or (p_tenant is not null and v_job.tenant <> p_tenant) or (p_owner is not null and v_job.owner is distinct from p_owner) or not jobledger.may(v_job.tenant) then
      verdict := case when jobledger.is_retired(p_shard, p_id) then 'job_gone' else 'not_found' end;
      return;
    end if;
    state := v_job.state::text;
    v_allowed := case p_act when 'retry' then array['failed', 'killed', 'cancelled'] when 'unpark' then array['parked'] when 'reschedule' then array['ready', 'scheduled']
      when 'reprioritise' then array['ready', 'scheduled', 'parked'] when 'move' then array['ready', 'scheduled', 'parked']
      else array['ready', 'scheduled', 'running', 'parked', 'blocked', 'suspended'] end;
    if state <> all (v_allowed) then
      verdict := 'wrong_state';
      return;
    end if;
    if p_act = 'retry' then
      select r.verdict, r.state into verdict, state from jobledger.retry_job(p_shard, p_id, p_actor, v_said, p_data, p_now) as r;
      return;
    end if;
    if p_act = 'cancel' and state = 'running' then
      perform from jobledger.running as r where r.shard = p_shard and r.id = p_id and r.cancel_requested;
      if found then
        verdict := 'requested';
        return;
      end if;
    end if;
    s := jobledger.taken(p_shard, p_id, false);
    if s.id is null then
      continue;
    end if;
    -- What was locked may have moved on since the look; the transitions of evolve() are the last word, this only makes the answer kind.
    if s.state::text <> all (v_allowed) then
      perform jobledger.place_back(s, p_now);
      state := s.state::text;
      verdict := 'wrong_state';
      return;
    end if;
    s := case p_act
      when 'cancel' then jobledger.append(s, case s.state when 'running' then 'job.cancel_requested' else 'job.cancelled' end::jobledger.event_type, p_now, p_actor, v_said, null,
        case s.state when 'running' then s.attempt end)
      when 'kill' then jobledger.append(s, 'job.killed', p_now, p_actor, v_said || '{"rule": "operator"}', null, case s.state when 'running' then s.attempt end)
      when 'unpark' then jobledger.append(s, 'job.unparked', p_now, p_actor, v_said)
      when 'reprioritise' then jobledger.append(s, 'job.reprioritised', p_now, p_actor, v_said || jsonb_build_object('priority', p_data -> 'priority'))
      when 'move' then jobledger.append(s, 'job.moved', p_now, p_actor, v_said || jsonb_build_object('queue', p_data -> 'queue'))
      else jobledger.append(s, 'job.rescheduled', p_now, p_actor, v_said || jobledger.new_dates(s, p_data, p_now)) end;
    state := s.state::text;
    verdict := case when p_act = 'cancel' and s.state = 'running' then 'requested' else 'done' end;
    return;
  end loop;
  verdict := 'wrong_state';
end
$$;
