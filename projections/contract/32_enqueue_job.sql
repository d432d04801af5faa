-- Enqueue one job inside the caller's transaction: what `enqueue` does, and whether this call made the job (false: its idempotency key was used before).
-- Never looks at `live`, and no decision reads a live table: it works while the live tables are being rebuilt. Races: two callers with one key meet at the
-- primary key of `idempotency` (the loser waits, then reads in a second statement); two with one unique key at that of `unique_keys`; two with one id at that of the log.
-- Few expressions, and generic plans: in a transaction of its own each expression is made ready anew, which was most of what a single enqueue cost.
drop function if exists jobledger.enqueue_job cascade;

create function jobledger.enqueue_job(
  kind text, args jsonb default '{}', tenant text default 'default', queue text default null, priority int default null, run_at timestamptz default null,
  kill_at timestamptz default null, timeout int default null, max_attempts int default null, owner text default null, tags text[] default null, meta jsonb default null,
  key text default null, unique_key text default null, backoff jsonb default null, trace jsonb default null, id uuid default null, actor text default null,
  strict boolean default false, shard smallint default 0, out job uuid, out created boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v record;
begin
  select coalesce(enqueue_job.id, jobledger.new_id(v_now)) as id, coalesce(enqueue_job.args, '{}') as args, coalesce(enqueue_job.priority, 0) as priority,
    coalesce(enqueue_job.run_at, v_now) as run_at, case when enqueue_job.run_at > v_now then enqueue_job.run_at end as later,
    coalesce(enqueue_job.queue, k.queue, 'default') as queue, coalesce(enqueue_job.max_attempts, k.max_attempts, 5) as max_attempts, coalesce(enqueue_job.timeout, k.timeout, 1800) as timeout,
    k.kill_after, case when k.kill_after is not null then 'kind' else 'service' end as kill_rule, 262144 as args_limit, k.name is not null as known,
    exists (select from jobledger.limits as l where l.shard = enqueue_job.shard) as limited,
    to_regclass('jobledger.events_' || to_char(v_now at time zone 'UTC', 'YYYY_MM')) is not null as has_partition,
    coalesce(jobledger.enqueue_fault(enqueue_job.kind, enqueue_job.tenant, enqueue_job.queue, enqueue_job.priority, enqueue_job.run_at, enqueue_job.kill_at, enqueue_job.timeout,
        enqueue_job.max_attempts, enqueue_job.owner, enqueue_job.tags, enqueue_job.key, enqueue_job.unique_key, v_now),
      case when enqueue_job.shard is null then 'JL101: The shard is a number: 0 on one machine.' when length(enqueue_job.actor) > 256 then 'JL101: actor has at most 256 characters.'
        when not jobledger.may(enqueue_job.tenant) then 'JL400: This role may not enqueue for that tenant.' end) as fault
  into v
  from (select 1) as one left join jobledger.kinds as k on k.shard = enqueue_job.shard and k.name = enqueue_job.kind;
  if v.fault is not null then
    perform jobledger.refuse(left(v.fault, 5), substr(v.fault, 8),
      case when v.fault like 'JL400%' then 'Ask the owner for a row in jobledger.grants (role, tenant).' else 'Nothing was written; mend the call.' end);
  end if;
  if enqueue_job.strict then
    if not v.known and not exists (select from jobledger.kinds as k where k.shard = enqueue_job.shard and enqueue_job.kind = any (k.aliases)) then
      perform jobledger.refuse('JL103', 'No such kind is registered.', 'Start a worker that has it, or enqueue without strict.');
    end if;
  end if;
  if v.limited then
    select v.id, v.args, v.priority, v.run_at, v.later, d.queue, coalesce(enqueue_job.max_attempts, d.max_attempts) as max_attempts, coalesce(enqueue_job.timeout, d.timeout) as timeout,
      d.kill_after, d.kill_rule, d.args_limit, v.known, v.limited, v.has_partition, v.fault
    into v from jobledger.job_defaults(enqueue_job.shard, enqueue_job.kind, enqueue_job.tenant, enqueue_job.queue) as d;
  end if;
  if pg_column_size(v.args) * 8 > v.args_limit or coalesce(enqueue_job.meta, enqueue_job.backoff, enqueue_job.trace) is not null then
    perform jobledger.check_size('args', v.args, v.args_limit), jobledger.check_size('meta', enqueue_job.meta, 16384), jobledger.check_size('backoff', enqueue_job.backoff, 16384),
      jobledger.check_size('trace', enqueue_job.trace, 16384);
  end if;
  if enqueue_job.kill_at is not null then
    v.kill_rule := 'own';
  elsif v.kill_after is not null or v.later is not null then
    enqueue_job.kill_at := v.run_at + make_interval(secs => coalesce(v.kill_after, 604800));
  end if;
  if enqueue_job.key is not null then
    enqueue_job.job := jobledger.keep_key(enqueue_job.shard, enqueue_job.tenant, enqueue_job.key, v.id, v_now, jobledger.content_hash(enqueue_job.kind, v.queue, v.args, enqueue_job.owner));
    if enqueue_job.job is not null then
      enqueue_job.created := false;
      return;
    end if;
  end if;
  -- After the key: a call that is repeated with its key and its id gets the first one's answer.
  if enqueue_job.id is not null then
    perform jobledger.check_given_id(enqueue_job.shard, enqueue_job.id, v_now);
  elsif not v.has_partition then
    perform jobledger.must_have_partition(v_now);
  end if;
  if enqueue_job.unique_key is not null then
    insert into jobledger.unique_keys (id, shard, tenant, key) values (v.id, enqueue_job.shard, enqueue_job.tenant, enqueue_job.unique_key) on conflict do nothing;
    if not found then
      perform jobledger.refuse('JL203', 'Another open job of this tenant holds the unique key.', 'Wait for its end, or cancel it.',
        (select jsonb_build_object('job', u.id) from jobledger.unique_keys as u where u.shard = enqueue_job.shard and u.tenant = enqueue_job.tenant and u.key = enqueue_job.unique_key));
    end if;
  end if;
  -- Only an id from outside can be there already; the conflict is looked for in that case alone, for it costs.
  if enqueue_job.id is null then
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v.id, 1, 'job.enqueued', enqueue_job.shard, enqueue_job.tenant, enqueue_job.actor,
      jobledger.enqueued_data(enqueue_job.kind, v.args, v.queue, v.priority, enqueue_job.run_at, enqueue_job.kill_at, v.kill_rule, v.timeout, v.max_attempts, enqueue_job.owner,
        enqueue_job.tags, enqueue_job.meta, enqueue_job.key, enqueue_job.unique_key, enqueue_job.backoff, enqueue_job.trace));
  else
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v.id, 1, 'job.enqueued', enqueue_job.shard, enqueue_job.tenant, enqueue_job.actor,
      jobledger.enqueued_data(enqueue_job.kind, v.args, v.queue, v.priority, enqueue_job.run_at, enqueue_job.kill_at, v.kill_rule, v.timeout, v.max_attempts, enqueue_job.owner,
        enqueue_job.tags, enqueue_job.meta, enqueue_job.key, enqueue_job.unique_key, enqueue_job.backoff, enqueue_job.trace)) on conflict do nothing;
    if not found then
      perform jobledger.refuse('JL201', 'A job of this id exists.', 'Use an idempotency key to make a call that may be repeated.');
    end if;
  end if;
  if v.later is null then
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    values (v.id, v.run_at, enqueue_job.kill_at, 1, v.timeout, enqueue_job.shard, v.priority, 0, v.max_attempts, 0, enqueue_job.tenant, v.queue, enqueue_job.kind, enqueue_job.owner, enqueue_job.unique_key);
    -- Looked at last: between this look and the commit a worker that begins to wait is not told, and finds the job by its timer.
    if exists (select from jobledger.idle as i where i.shard = enqueue_job.shard) then
      perform jobledger.hint(enqueue_job.shard, v.queue, enqueue_job.tenant, enqueue_job.kind);
    end if;
  else
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, wake_at)
    values (v.id, v.run_at, enqueue_job.kill_at, 1, v.timeout, enqueue_job.shard, v.priority, 0, v.max_attempts, 0, enqueue_job.tenant, v.queue, enqueue_job.kind, enqueue_job.owner,
      enqueue_job.unique_key, 'scheduled', v.later);
  end if;
  enqueue_job.job := v.id;
  enqueue_job.created := true;
end
$$;
