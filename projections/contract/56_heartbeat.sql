-- A worker says that it lives, and what it holds. In one transaction, under the worker's row lock: the lease is renewed, and this worker's running jobs of claim
-- calls up to p_settled that are not in p_held are released at no cost: the worker has said that it will never run them, so no clock decides.
-- A heartbeat whose number is not above the last changes nothing (it was overtaken). First row: the lease; then what in p_held is lost, killed or to be cancelled.
-- Another role's worker is unknown (see worker_is_mine); of a job that the caller may not see it says `lost`, as of an id that nobody has.
-- The event lists only what was held since before the last heartbeat.
-- Plans: `finished` is asked for the few that are lost, one by one; joined, all of it was read at every heartbeat.
-- `is true` keeps the primary key of `running` away, by which the jobs of every worker would be read.
drop function if exists jobledger.heartbeat;

create function jobledger.heartbeat(p_shard smallint, p_worker uuid, p_beat int, p_settled int, p_held uuid[], p_stalled_s real default 0)
returns table (kind text, job uuid, at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_nestloop = off set enable_mergejoin = off set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenants text[] := jobledger.worker_tenants(null);
  v_worker jobledger.workers;
  v_long uuid[];
  v_gone uuid[];
  v_id uuid;
begin
  if p_beat is null or p_beat < 0 or p_settled is null or p_settled < 0 or array_position(p_held, null) is not null
      or p_stalled_s is null or not p_stalled_s between 0 and 1e9 then
    perform jobledger.refuse('JL101', 'The number of a heartbeat, its settled claim call and its seconds of standstill are 0 or more, and the ids it holds are not null.', 'Mend the call.');
  end if;
  perform jobledger.must_be_open(p_shard);
  select w.* into v_worker from jobledger.workers as w where w.shard = p_shard and w.id = p_worker and jobledger.worker_is_mine(p_shard, p_worker) for update;
  if not found then
    perform jobledger.refuse('JL504', 'No worker of this id is registered.', 'Start it with jobledger.worker_start().');
  end if;
  if v_worker.stopped_at is not null then
    perform jobledger.refuse('JL503', 'The worker has stopped.', 'Start again under a new id.');
  end if;
  if p_beat > v_worker.beat then
    select array_agg(r.id order by r.id) filter (where h.id is not null and r.claimed_at <= v_worker.seen_at), array_agg(r.id order by r.id) filter (where h.id is null and r.call <= p_settled)
    into v_long, v_gone
    from jobledger.running as r left join (select distinct u.id from unnest(p_held) as u (id)) as h on h.id = r.id
    where (r.shard = p_shard) is true and r.worker = p_worker;
    update jobledger.workers as w set lease_until = v_now + make_interval(secs => w.lease), seen_at = v_now, beat = p_beat, settled = greatest(w.settled, p_settled), stalled_s = p_stalled_s
    where w.shard = p_shard and w.id = p_worker returning w.* into v_worker;
    foreach v_id in array coalesce(v_gone, '{}') loop
      if jobledger.release(p_shard, p_worker, v_id, v_now) is not null then
        return query select 'released', v_id, v_now;
      end if;
    end loop;
    if v_long is not null then
      perform jobledger.append_worker(p_shard, p_worker, 'worker.heartbeat', v_now, null, jsonb_build_object('beat', p_beat, 'held', to_jsonb(v_long)));
    end if;
  end if;
  return query select 'lease', null::uuid, v_worker.lease_until;
  return query
    select case when r.id is not null then 'cancel'
      when (select f.state = 'killed' from jobledger.finished as f where f.shard = p_shard and f.id = h.id and (v_tenants is null or f.tenant = any (v_tenants))) then 'killed'
      else 'lost' end, h.id, v_now
    from (select distinct u.id from unnest(p_held) as u (id)) as h
    left join jobledger.running as r on (r.shard = p_shard) is true and r.id = h.id and r.worker = p_worker
    where r.id is null or r.cancel_requested;
end
$$;
