-- Enqueue one job inside the caller's transaction, from any driver in any language. Returns its id (with an idempotency key that was used before: the first one's).
-- Never looks at `live`, and no decision reads a live table: it works while the live tables are being rebuilt. Races: two callers with one key meet at the
-- primary key of `idempotency` (the loser waits, then reads in a second statement); two with one unique key at that of `unique_keys`; two with one id at that of the log.
drop function if exists jobledger.enqueue;

create function jobledger.enqueue(
  kind text, args jsonb default '{}', tenant text default 'default', queue text default null, priority int default null, run_at timestamptz default null,
  kill_at timestamptz default null, timeout int default null, max_attempts int default null, owner text default null, tags text[] default null, meta jsonb default null,
  key text default null, unique_key text default null, backoff jsonb default null, trace jsonb default null, id uuid default null, actor text default null,
  strict boolean default false, shard smallint default 0
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_id uuid := coalesce(enqueue.id, jobledger.new_id(v_now));
  v_fault text := jobledger.enqueue_fault(enqueue.kind, enqueue.tenant, enqueue.queue, enqueue.priority, enqueue.run_at, enqueue.kill_at, enqueue.timeout,
    enqueue.max_attempts, enqueue.owner, enqueue.tags, enqueue.key, enqueue.unique_key, v_now);
  v_default record;
  v_run_at timestamptz := coalesce(enqueue.run_at, v_now);
  v_later timestamptz := case when enqueue.run_at > v_now then enqueue.run_at end;
  v_kill_at timestamptz := enqueue.kill_at;
  v_rule text := 'own';
  v_priority smallint;
  v_timeout int;
  v_attempts smallint;
  v_args jsonb := coalesce(enqueue.args, '{}');
  v_data jsonb;
  v_other uuid;
begin
  if v_fault is null and length(enqueue.actor) > 256 then
    v_fault := 'JL101: actor has at most 256 characters.';
  end if;
  if enqueue.shard is null then
    v_fault := 'JL101: The shard is a number: 0 on one machine.';
  end if;
  if v_fault is not null then
    perform jobledger.refuse(left(v_fault, 5), substr(v_fault, 8), 'Nothing was written; mend the call.');
  end if;
  if not jobledger.may(enqueue.tenant) then
    perform jobledger.refuse('JL400', 'This role may not enqueue for that tenant.', 'Ask the owner for a row in jobledger.grants (role, tenant).');
  end if;
  select * into v_default from jobledger.job_defaults(enqueue.shard, enqueue.kind, enqueue.tenant, enqueue.queue);
  if enqueue.strict and not v_default.known and not exists (select from jobledger.kinds as k where k.shard = enqueue.shard and enqueue.kind = any (k.aliases)) then
    perform jobledger.refuse('JL103', 'No such kind is registered.', 'Start a worker that has it, or enqueue without strict.');
  end if;
  perform jobledger.check_size('args', v_args, v_default.args_limit);
  perform jobledger.check_size('meta', enqueue.meta, 16384);
  perform jobledger.check_size('backoff', enqueue.backoff, 16384);
  perform jobledger.check_size('trace', enqueue.trace, 16384);
  v_priority := coalesce(enqueue.priority, 0);
  v_timeout := coalesce(enqueue.timeout, v_default.timeout);
  v_attempts := coalesce(enqueue.max_attempts, v_default.max_attempts);
  if v_kill_at is null and (v_default.kill_after is not null or v_later is not null) then
    v_kill_at := v_run_at + make_interval(secs => coalesce(v_default.kill_after, 604800));
    v_rule := v_default.kill_rule;
  end if;
  if enqueue.key is not null then
    v_other := jobledger.keep_key(enqueue.shard, enqueue.tenant, enqueue.key, v_id, v_now, jobledger.content_hash(enqueue.kind, v_default.queue, v_args, enqueue.owner));
    if v_other is not null then
      return v_other;
    end if;
  end if;
  -- After the key: a call that is repeated with its key and its id gets the first one's answer.
  if enqueue.id is not null then
    perform jobledger.check_given_id(enqueue.shard, enqueue.id, v_now);
  else
    perform jobledger.must_have_partition(v_now);
  end if;
  if enqueue.unique_key is not null then
    insert into jobledger.unique_keys (id, shard, tenant, key) values (v_id, enqueue.shard, enqueue.tenant, enqueue.unique_key) on conflict do nothing;
    if not found then
      perform jobledger.refuse('JL203', 'Another open job of this tenant holds the unique key.', 'Wait for its end, or cancel it.',
        (select jsonb_build_object('job', u.id) from jobledger.unique_keys as u where u.shard = enqueue.shard and u.tenant = enqueue.tenant and u.key = enqueue.unique_key));
    end if;
  end if;
  v_data := jobledger.enqueued_data(enqueue.kind, v_args, v_default.queue, v_priority, case when enqueue.run_at is not null then v_run_at end, v_kill_at, v_rule, v_timeout, v_attempts,
    enqueue.owner, enqueue.tags, enqueue.meta, enqueue.key, enqueue.unique_key, enqueue.backoff, enqueue.trace);
  if enqueue.id is null then
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v_id, 1, 'job.enqueued', enqueue.shard, enqueue.tenant, enqueue.actor, v_data);
  else
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
    values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v_id, 1, 'job.enqueued', enqueue.shard, enqueue.tenant, enqueue.actor, v_data) on conflict do nothing;
    if not found then
      perform jobledger.refuse('JL201', 'A job of this id exists.', 'Use an idempotency key to make a call that may be repeated.');
    end if;
  end if;
  if v_later is null then
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    values (v_id, v_run_at, v_kill_at, 1, v_timeout, enqueue.shard, v_priority, 0, v_attempts, 0, enqueue.tenant, v_default.queue, enqueue.kind, enqueue.owner, enqueue.unique_key);
    if exists (select from jobledger.idle as i where i.shard = enqueue.shard) then
      perform jobledger.hint(enqueue.shard, v_default.queue, enqueue.tenant, enqueue.kind);
    end if;
  else
    insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, wake_at)
    values (v_id, v_run_at, v_kill_at, 1, v_timeout, enqueue.shard, v_priority, 0, v_attempts, 0, enqueue.tenant, v_default.queue, enqueue.kind, enqueue.owner, enqueue.unique_key,
      'scheduled', v_later);
  end if;
  return v_id;
end
$$;
