-- Claim the one job that a hint names: what an idle worker does first, at less than half of the cost of a claim that looks at every lane. No rows where it is not to be had: locked or gone, paused,
-- of a kind, queue, tenant or time-out that is not for this worker, past its kill date. Errors: those of a claim.
-- Queues are those with a free slot (null: any). Lanes, shares and keys are passed by: whoever waits idle has nothing to share, and the poll that follows looks at everything.
-- Races: SKIP LOCKED, as in a claim; of several workers that were told one takes the job, the others look at one row. The position is drawn after the row is locked.
drop function if exists jobledger.claim_hinted;

create function jobledger.claim_hinted(p_shard smallint, p_worker uuid, p_call int, p_id uuid, p_kinds text[], p_queues text[] default null, p_timeout int default null)
returns table (at timestamptz, id uuid, tenant text, queue text, kind text, priority smallint, attempt smallint, max_attempts smallint, claim int, run_at timestamptz, kill_at timestamptz,
  timeout int, owner text, data text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set jit = off set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenants text[] := jobledger.may_claim(p_shard, p_worker, v_now);
  v_pauses boolean := exists (select from jobledger.limits as l where l.shard = p_shard and l.paused);
begin
  if p_call is null or p_call < 0 then
    perform jobledger.refuse('JL101', 'A claim call has a number, 0 or more.', 'Mend the call.');
  end if;
  return query
  with look as materialized (
    select r.ctid as place, r.*, e.data::text as data
    from jobledger.ready as r cross join lateral (select x.data from jobledger.events as x where x.shard = p_shard and x.stream_id = p_id and x.version = 1) as e
    where r.shard = p_shard and r.id = p_id and r.kind = any (p_kinds) and (v_tenants is null or r.tenant = any (v_tenants)) and (p_queues is null or r.queue = any (p_queues))
      and coalesce(r.kill_at > v_now, r.id > jobledger.first_id_at(v_now - interval '7 days')) and coalesce(r.timeout <= p_timeout, true)
      and not (v_pauses and (select coalesce(bool_or(l.paused), false) from unnest(array['tenant', 'queue', 'kind'], array[r.tenant, r.queue, r.kind]) as n (scope, name)
        join jobledger.limits as l on l.shard = p_shard and l.scope = n.scope and l.name = n.name))
    for update of r skip locked
  ), gone as (
    delete from jobledger.ready as r where r.ctid = any (array(select l.place from look as l))
  ), ran as (
    insert into jobledger.running (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key,
      worker, claimed_at, timeout_at, claim, call)
    select l.id, l.run_at, l.kill_at, l.head + 1, l.timeout, l.shard, l.priority, l.attempt + 1, l.max_attempts, l.releases, l.tenant, l.queue, l.kind, l.owner, l.unique_key,
      p_worker, v_now, v_now + make_interval(secs => l.timeout), l.head + 1, p_call
    from look as l
  ), logged as (
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant, data)
    select nextval('jobledger.position'), pg_current_xact_id(), v_now, l.id, l.head + 1, 'job.claimed', l.shard, l.attempt + 1, p_worker, l.tenant,
      jsonb_build_object('call', p_call, 'beat', (select w.head from jobledger.workers as w where w.shard = p_shard and w.id = p_worker))
    from look as l
  )
  select v_now, l.id, l.tenant, l.queue, l.kind, l.priority, (l.attempt + 1)::smallint, l.max_attempts, l.head + 1, l.run_at, l.kill_at, l.timeout, l.owner, l.data from look as l;
end
$$;
