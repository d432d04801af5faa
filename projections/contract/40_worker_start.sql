-- Register one incarnation of a worker and give it its lease. The lease is the worker's, not the job's.
-- The worker belongs to the role that registers it, the actor of the event: no other role that is bound to tenants can heartbeat, claim, report or stop under its id.
-- After a standstill of months no partition is there for the worker's own stream: it is made here, for it is workers that tick.
drop function if exists jobledger.worker_start;

create function jobledger.worker_start(p_shard smallint, p_worker uuid, p_queues jsonb, p_kinds text[], p_tenants text[], p_lease_s int, p_about jsonb default '{}')
returns table (worker uuid, lease_until timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_id uuid := coalesce(p_worker, jobledger.new_id(v_now));
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_lease_s is null or p_lease_s not between 1 and 3600 then
    perform jobledger.refuse('JL101', 'A lease lasts between 1 second and 1 hour (3600).', 'Mend the call.');
  end if;
  if p_queues is not null and jsonb_typeof(p_queues) <> 'object' then
    perform jobledger.refuse('JL101', 'queues is an object of queue names and their concurrency (or null).', 'Mend the call.');
  end if;
  if exists (select from jsonb_each(p_queues) as q where not jobledger.is_name(q.key) or (jsonb_typeof(q.value) <> 'null' and q.value::text !~ '^[0-9]{1,9}$')) then
    perform jobledger.refuse('JL101', 'queues maps the name of a queue to its concurrency, a whole number, or to null.', 'Mend the call.');
  end if;
  if exists (select from (select unnest(p_kinds) union all select unnest(p_tenants)) as t (n) where not jobledger.is_name(n)) then
    perform jobledger.refuse('JL101', 'kinds and tenants are lists of names of 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / -.', 'Mend the call.');
  end if;
  if jsonb_typeof(coalesce(p_about, '{}')) <> 'object' or pg_column_size(p_about) > 16384 then
    perform jobledger.refuse('JL101', 'about is an object of at most 16 KiB.', 'Mend the call.');
  end if;
  if to_regclass('jobledger.events_' || to_char(v_now at time zone 'UTC', 'YYYY_MM')) is null then
    perform jobledger.partitions_ensure(p_shard);
  end if;
  if p_worker is not null then
    perform jobledger.check_given_id(p_shard, p_worker, v_now);
  else
    perform jobledger.must_have_partition(v_now);
  end if;
  insert into jobledger.workers (id, lease_until, started_at, seen_at, head, lease, shard, queues, kinds, tenants, about)
  values (v_id, v_now + make_interval(secs => p_lease_s), v_now, v_now, 0, p_lease_s, p_shard, p_queues, coalesce(p_kinds, '{}'), p_tenants, coalesce(p_about, '{}'))
  on conflict do nothing;
  if not found then
    perform jobledger.refuse('JL201', 'A worker of this id exists.', 'Leave the id out.');
  end if;
  perform jobledger.append_worker(p_shard, v_id, 'worker.started', v_now, jobledger.caller(), coalesce(p_about, '{}') || jsonb_build_object('queues', p_queues, 'kinds', coalesce(p_kinds, '{}'),
    'tenants', p_tenants, 'lease', p_lease_s));
  return query select v_id, v_now + make_interval(secs => p_lease_s);
end
$$;
