-- Register a kind with the version and JSON Schema of its arguments; an event only when something differs. True: it did.
-- Back-off and on_timeout lie in the event alone: they are read when a tick ends an attempt, which is rare.
-- A kind of a queue that is delivered to an endpoint for every tenant may not run longer than that endpoint works on it; the lock keeps the push from being set meanwhile.
-- Kinds are the application's words, shared by all tenants and readable by every role: what a worker registers holds for all.
drop function if exists jobledger.register_kind;

create function jobledger.register_kind(p_shard smallint, p_name text, p_version int, p_schema jsonb, p_aliases text[] default '{}', p_defaults jsonb default '{}') returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_head int;
  v_push record;
begin
  if p_name is null or (p_name collate "C" !~ '^[A-Za-z0-9_][A-Za-z0-9._:/-]*$' or length(p_name) > 128) then
    perform jobledger.refuse('JL101', 'A kind''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / - and begins with a letter, digit or _.', 'Nothing was written; mend the call.');
  end if;
  perform jobledger.check_words(p_shard, null, null);
  if p_version < 1 or jsonb_typeof(p_schema) not in ('object', 'boolean', 'null') or cardinality(p_aliases) > 100
      or exists (select from unnest(p_aliases) as n where not jobledger.is_name(n)) then
    perform jobledger.refuse('JL101', 'A version is 1 or more, a schema a JSON Schema, and aliases are at most 100 names.', 'Nothing was written; mend the call.');
  end if;
  perform jobledger.check_size('schema', p_schema, 262144);
  if jsonb_typeof(coalesce(p_defaults, '{}')) <> 'object' or exists (select from jsonb_each(p_defaults) as d
      left join (values ('max_attempts', 1000), ('timeout', 604800), ('kill_after', 6311520000)) as k (name, most) on k.name = d.key
      where jsonb_typeof(d.value) <> 'null' and not case when d.key = 'queue' then jsonb_typeof(d.value) = 'string' and jobledger.is_name(d.value #>> '{}')
        when d.key = 'on_timeout' then d.value in ('"retry"', '"fail"') when d.key = 'backoff' then jsonb_typeof(d.value) = 'object'
        when d.value::text ~ '^[0-9]{1,10}$' then coalesce(d.value::bigint between 1 and k.most, false) else false end) then
    perform jobledger.refuse('JL101', 'defaults is an object of queue (a name), max_attempts (1..1000), timeout (1..604800 s), kill_after (1..6311520000 s), backoff (an object) and on_timeout (retry or fail).',
      'Nothing was written; mend the call.');
  end if;
  perform jobledger.check_size('backoff', p_defaults -> 'backoff', 16384);
  lock table jobledger.pushes in share mode;
  insert into jobledger.kinds as k (id, head, shard, version, name, aliases, schema, queue, max_attempts, timeout, kill_after, registered_at)
  values (jobledger.control_id('_global', 'kind', p_name), 1, p_shard, coalesce(p_version, 1), p_name, coalesce(p_aliases, '{}'), p_schema, p_defaults ->> 'queue',
    (p_defaults ->> 'max_attempts')::int, (p_defaults ->> 'timeout')::int, (p_defaults ->> 'kill_after')::bigint, v_now)
  on conflict (shard, name) do update set head = k.head + 1, version = excluded.version, aliases = excluded.aliases, schema = excluded.schema, queue = excluded.queue,
    max_attempts = excluded.max_attempts, timeout = excluded.timeout, kill_after = excluded.kill_after, registered_at = excluded.registered_at
  where (k.version, k.aliases, k.schema, k.queue, k.max_attempts, k.timeout, k.kill_after)
    is distinct from (excluded.version, excluded.aliases, excluded.schema, excluded.queue, excluded.max_attempts, excluded.timeout, excluded.kill_after)
    or (select (e.data -> 'backoff', e.data -> 'on_timeout') is distinct from (p_defaults -> 'backoff', p_defaults -> 'on_timeout')
      from jobledger.events as e where e.shard = k.shard and e.stream_id = k.id and e.version = k.head)
  returning k.head into v_head;
  if not found then
    return false;
  end if;
  select p.queue, p.max_run into v_push from jobledger.pushes as p
  where p.shard = p_shard and p.tenant = '_global' and p.queue = coalesce(p_defaults ->> 'queue', 'default') and cardinality(jobledger.push_too_short(p_shard, p.queue, p.max_run, p_name)) > 0;
  if found then
    perform jobledger.refuse('JL200', format('The queue of this kind is delivered to an endpoint that works %s s on a job at most, and the kind may run longer.', v_push.max_run),
      'Lower the kind''s timeout, or raise max_run of the push.', jsonb_build_object('max_run', v_push.max_run, 'kinds', jsonb_build_array(p_name)));
  end if;
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, data)
  values (nextval('jobledger.position'), pg_current_xact_id(), v_now, jobledger.control_id('_global', 'kind', p_name), v_head, 'kind.registered', p_shard, '_global',
    coalesce(p_defaults, '{}') || jsonb_build_object('name', p_name, 'version', coalesce(p_version, 1), 'schema', p_schema, 'aliases', coalesce(p_aliases, '{}')));
  return true;
end
$$;
