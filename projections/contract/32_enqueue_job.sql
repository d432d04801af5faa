-- Enqueue one job inside the caller's transaction: what `enqueue` does, and whether this call made the job (false: its idempotency key was used before).
-- Never looks at `live`, and no decision reads a live table: it works while the live tables are being rebuilt. Races: two callers with one key meet at the
-- primary key of `idempotency` (the loser waits, then reads in a second statement); two with one unique key at that of `unique_keys`; two with one id at that of the log.
-- Few expressions, and generic plans: in a transaction of its own each expression is made ready anew, which was most of what a single enqueue cost. So one look decides whether the
-- call is a usual one (nothing stated but queue and actor, defaults as the service has them, nothing wrong), which then writes its two rows; all else is one branch that such a call steps over.
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
  v_id uuid;
  v_args jsonb;
  v_queue text;
  v_max_attempts int;
  v_timeout int;
  v_kill_after bigint;
  v_known boolean;
  v_limited boolean;
  v_usual boolean;
  v_kill_rule text := 'service';
  v_args_limit int := 262144;
  v_fault text;
  v_later timestamptz;
  v_data jsonb;
  v_logged boolean := false;
  v_idle boolean;
  v_first boolean;
begin
  select pg_current_xact_id_if_assigned() is null, jobledger.new_id(v_now), coalesce(enqueue_job.args, '{}'), coalesce(enqueue_job.queue, k.queue, 'default'), coalesce(enqueue_job.max_attempts, k.max_attempts, 5),
    coalesce(enqueue_job.timeout, k.timeout, 1800), k.kill_after, k.name is not null, exists (select from jobledger.limits as l where l.shard = enqueue_job.shard),
    num_nonnulls(nullif(enqueue_job.priority, 0), enqueue_job.run_at, enqueue_job.kill_at, enqueue_job.timeout, enqueue_job.max_attempts, enqueue_job.owner, enqueue_job.tags,
        enqueue_job.meta, enqueue_job.key, enqueue_job.unique_key, enqueue_job.backoff, enqueue_job.trace, enqueue_job.id) = 0 and enqueue_job.shard is not null
      and enqueue_job.tenant collate "C" ~ '^[A-Za-z0-9][A-Za-z0-9._:@/-]*$' and enqueue_job.kind collate "C" ~ '^[A-Za-z0-9_][A-Za-z0-9._:/-]*$'
      and greatest(length(enqueue_job.tenant), length(enqueue_job.kind), (length(enqueue_job.actor) + 1) / 2) <= 128 and (k.name is not null or not enqueue_job.strict) and k.kill_after is null
      and coalesce(enqueue_job.queue, k.queue, 'default') = 'default' and coalesce(k.max_attempts, 5) = 5 and coalesce(k.timeout, 1800) = 1800
      and pg_column_size(enqueue_job.args) <= 32768 and pg_column_compression(enqueue_job.args) is null and jobledger.may(enqueue_job.tenant)
      and to_regclass('jobledger.events_' || to_char(v_now at time zone 'UTC', 'YYYY_MM')) is not null
  into v_first, v_id, v_args, v_queue, v_max_attempts, v_timeout, v_kill_after, v_known, v_limited, v_usual
  from (select 1) as one left join jobledger.kinds as k on k.shard = enqueue_job.shard and k.name = enqueue_job.kind;
  if (v_usual and not v_limited) is not true then
    v_fault := coalesce(jobledger.enqueue_fault(enqueue_job.kind, enqueue_job.tenant, enqueue_job.queue, enqueue_job.priority, enqueue_job.run_at, enqueue_job.kill_at, enqueue_job.timeout,
        enqueue_job.max_attempts, enqueue_job.owner, enqueue_job.tags, enqueue_job.key, enqueue_job.unique_key, v_now),
      case when enqueue_job.shard is null then 'JL101: The shard is a number: 0 on one machine.' when length(enqueue_job.actor) > 256 then 'JL101: actor has at most 256 characters.'
        when not jobledger.may(enqueue_job.tenant) then 'JL400: This role may not enqueue for that tenant.' end);
    if v_fault is not null then
      perform jobledger.refuse(left(v_fault, 5), substr(v_fault, 8),
        case when v_fault like 'JL400%' then 'Ask the owner for a row in jobledger.grants (role, tenant).' else 'Nothing was written; mend the call.' end);
    end if;
    if enqueue_job.strict and not v_known and not exists (select from jobledger.kinds as k where k.shard = enqueue_job.shard and enqueue_job.kind = any (k.aliases)) then
      perform jobledger.refuse('JL103', 'No such kind is registered.', 'Start a worker that has it, or enqueue without strict.');
    end if;
    if v_limited then
      select d.queue, coalesce(enqueue_job.max_attempts, d.max_attempts), coalesce(enqueue_job.timeout, d.timeout), d.kill_after, d.kill_rule, d.args_limit
      into v_queue, v_max_attempts, v_timeout, v_kill_after, v_kill_rule, v_args_limit
      from jobledger.job_defaults(enqueue_job.shard, enqueue_job.kind, enqueue_job.tenant, enqueue_job.queue) as d;
    elsif v_kill_after is not null then
      v_kill_rule := 'kind';
    end if;
    if pg_column_size(v_args) * 8 > v_args_limit or pg_column_compression(v_args) is not null or coalesce(enqueue_job.meta, enqueue_job.backoff, enqueue_job.trace) is not null then
      perform jobledger.check_size('args', v_args, v_args_limit), jobledger.check_size('meta', enqueue_job.meta, 16384), jobledger.check_size('backoff', enqueue_job.backoff, 16384),
        jobledger.check_size('trace', enqueue_job.trace, 16384);
    end if;
    v_later := case when enqueue_job.run_at > v_now then enqueue_job.run_at end;
    if enqueue_job.kill_at is not null then
      v_kill_rule := 'own';
    elsif v_kill_after is not null or v_later is not null then
      enqueue_job.kill_at := coalesce(enqueue_job.run_at, v_now) + make_interval(secs => coalesce(v_kill_after, 604800));
    end if;
    v_id := coalesce(enqueue_job.id, v_id);
    if enqueue_job.key is not null then
      enqueue_job.job := jobledger.keep_key(enqueue_job.shard, enqueue_job.tenant, enqueue_job.key, v_id, v_now, jobledger.content_hash(enqueue_job.kind, v_queue, v_args, enqueue_job.owner));
      if enqueue_job.job is not null then
        enqueue_job.created := false;
        return;
      end if;
    end if;
    -- After the key: a call that is repeated with its key and its id gets the first one's answer.
    if enqueue_job.id is not null then
      perform jobledger.check_given_id(enqueue_job.shard, enqueue_job.id, v_now);
    else
      perform jobledger.must_have_partition(v_now);
    end if;
    if enqueue_job.unique_key is not null then
      insert into jobledger.unique_keys (id, shard, tenant, key) values (v_id, enqueue_job.shard, enqueue_job.tenant, enqueue_job.unique_key) on conflict do nothing;
      if not found then
        perform jobledger.refuse('JL203', 'Another open job of this tenant holds the unique key.', 'Wait for its end, or cancel it.',
          (select jsonb_build_object('job', u.id) from jobledger.unique_keys as u where u.shard = enqueue_job.shard and u.tenant = enqueue_job.tenant and u.key = enqueue_job.unique_key));
      end if;
    end if;
    v_data := jobledger.enqueued_data(enqueue_job.kind, v_args, v_queue, enqueue_job.priority, enqueue_job.run_at, enqueue_job.kill_at, v_kill_rule, v_timeout, v_max_attempts, enqueue_job.owner,
      enqueue_job.tags, enqueue_job.meta, enqueue_job.key, enqueue_job.unique_key, enqueue_job.backoff, enqueue_job.trace);
    -- Only an id from outside can be there already; the conflict is looked for in that case alone, for it costs.
    if enqueue_job.id is not null then
      insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
      values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v_id, 1, 'job.enqueued', enqueue_job.shard, enqueue_job.tenant, enqueue_job.actor, v_data) on conflict do nothing;
      if not found then
        perform jobledger.refuse('JL201', 'A job of this id exists.', 'Use an idempotency key to make a call that may be repeated.');
      end if;
      v_logged := true;
    end if;
  end if;
  if not v_logged then
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v_id, 1, 'job.enqueued', enqueue_job.shard, enqueue_job.tenant, enqueue_job.actor,
      coalesce(v_data, jsonb_build_object('kind', enqueue_job.kind, 'args', v_args)));
  end if;
  if v_later is null then
    -- The hint is looked for last: between this look and the commit a worker that begins to wait is not told, and finds the job by its timer. Not by a statement of its own, which costs 10 us.
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    values (v_id, coalesce(enqueue_job.run_at, v_now), enqueue_job.kill_at, 1, v_timeout, enqueue_job.shard, coalesce(enqueue_job.priority, 0), 0, v_max_attempts, 0, enqueue_job.tenant, v_queue,
      enqueue_job.kind, enqueue_job.owner, enqueue_job.unique_key)
    returning exists (select from jobledger.idle as i where i.shard = enqueue_job.shard) into v_idle;
    if v_idle then
      perform jobledger.hint(enqueue_job.shard, v_queue, enqueue_job.tenant, enqueue_job.kind, case when v_first then v_id end);
    end if;
  else
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, wake_at)
    values (v_id, enqueue_job.run_at, enqueue_job.kill_at, 1, v_timeout, enqueue_job.shard, coalesce(enqueue_job.priority, 0), 0, v_max_attempts, 0, enqueue_job.tenant, v_queue, enqueue_job.kind,
      enqueue_job.owner, enqueue_job.unique_key, 'scheduled', v_later);
  end if;
  enqueue_job.job := v_id;
  enqueue_job.created := true;
end
$$;
