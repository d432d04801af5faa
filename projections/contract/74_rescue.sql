-- Take their jobs from workers whose lease is over. Locks the worker's row first (SKIP LOCKED: it may be heartbeating this moment), looks at the lease again, then
-- takes its running rows; each costs an attempt. Never before one lease after the opening and the start of the server, else an outage would end every lease at once.
-- A clock that was moved back leaves leases that lie further ahead than their length; they are cut to it, else the jobs of a dead worker would wait as long as the clock went.
-- An opening that lies ahead of the clock was before it was moved: the cut leases have given every worker its time.
-- Out `told`: from which workers, and how many jobs each.
drop function if exists jobledger.rescue;

create function jobledger.rescue(p_shard smallint, p_now timestamptz, p_most int, out taken int, out told jsonb)
language plpgsql
as $$
declare
  v_up timestamptz := (select greatest(l.opened_at, pg_postmaster_start_time()) from jobledger.live as l where l.shard = p_shard);
  v_worker jobledger.workers;
  v_id uuid;
  v_of_worker int;
  s jobledger.folded;
begin
  taken := 0;
  told := '[]';
  update jobledger.workers as w set lease_until = p_now + make_interval(secs => w.lease)
  where w.ctid = any (array(select x.ctid from jobledger.workers as x where x.shard = p_shard and x.stopped_at is null and x.lease_until > p_now + make_interval(secs => x.lease)
    for update skip locked));
  for v_worker in
    select w.* from jobledger.workers as w
    where w.shard = p_shard and w.lease_until <= p_now and (w.stopped_at is not null or v_up > p_now or v_up + make_interval(secs => w.lease) <= greatest(p_now, clock_timestamp()))
      and exists (select from jobledger.running as r where r.worker = w.id)
    order by w.id limit 100 for update skip locked
  loop
    v_of_worker := 0;
    for v_id in select r.id from jobledger.running as r where (r.shard = p_shard) is true and r.worker = v_worker.id order by r.id limit p_most - taken for update skip locked loop
      s := jobledger.taken(p_shard, v_id);
      continue when s.id is null;
      if s.cancel_requested then
        s := jobledger.append(s, 'job.cancelled', p_now, null, null, v_worker.id, s.attempt);
      else
        s := jobledger.append(s, 'job.lease_expired', p_now, null, case when s.attempt < s.max_attempts then jsonb_build_object('retry_at', p_now) else '{}' end, v_worker.id, s.attempt);
      end if;
      v_of_worker := v_of_worker + 1;
    end loop;
    taken := taken + v_of_worker;
    if v_of_worker > 0 then
      told := told || jsonb_build_object('topic', 'lease_expired', 'worker', v_worker.id, 'jobs', v_of_worker);
    end if;
    exit when taken >= p_most;
  end loop;
end
$$;
