-- Claim one waiting job by its id. Errors: not_found (also another tenant's), not_waiting (running, finished, parked, or not yet due and held back).
-- The race of two claimers ends at the row lock: the second waits, finds no row, and is told what state the job is in.
drop function if exists jobledger.claim_job;

create function jobledger.claim_job(p_shard smallint, p_worker uuid, p_call int, p_id uuid, p_kinds text[])
returns table (at timestamptz, id uuid, tenant text, queue text, kind text, priority smallint, attempt smallint, max_attempts smallint, claim int, run_at timestamptz, kill_at timestamptz,
  timeout int, owner text, data text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenants text[] := jobledger.may_claim(p_shard, p_worker, v_now);
  v_job record;
  s jobledger.folded;
begin
  select j.tenant, j.kind, j.state into v_job from jobledger.jobs as j where j.shard = p_shard and j.id = p_id;
  if not found or (v_tenants is not null and v_job.tenant <> all (v_tenants)) then
    perform jobledger.refuse('JL300', 'No such job.', 'Look at its id, and at the tenant you ask for.');
  end if;
  if p_call is null or p_call < 0 then
    perform jobledger.refuse('JL101', 'A claim call has a number, 0 or more.', 'Mend the call.');
  end if;
  if v_job.kind = any (p_kinds) is not true then
    perform jobledger.refuse('JL103', 'The worker does not know the job''s kind.', 'Claim it by a worker that does.');
  end if;
  if v_job.state not in ('ready', 'scheduled') then
    perform jobledger.refuse('JL205', format('The job is not waiting: it is %s.', v_job.state), 'Only a waiting job can be claimed.');
  end if;
  s := jobledger.taken(p_shard, p_id, false);
  if s.id is null or s.state <> 'ready' then
    perform jobledger.refuse('JL205', 'The job is not waiting: somebody took it meanwhile.', 'Only a waiting job can be claimed.');
  end if;
  if coalesce(s.kill_at <= v_now, s.id <= jobledger.first_id_at(v_now - interval '7 days')) then
    perform jobledger.refuse('JL205', 'The job is past its kill date.', 'Retry it after it was killed.');
  end if;
  s := jobledger.append(s, 'job.claimed', v_now, null, jsonb_build_object('call', p_call, 'beat', (select w.head from jobledger.workers as w where w.shard = p_shard and w.id = p_worker)),
    p_worker, (s.attempt + 1)::smallint);
  return query select v_now, s.id, s.tenant, s.queue, s.kind, s.priority, s.attempt, s.max_attempts, s.claim, s.run_at, s.kill_at, s.timeout, s.owner, e.data::text
  from jobledger.events as e where e.shard = p_shard and e.stream_id = p_id and e.version = 1;
end
$$;
