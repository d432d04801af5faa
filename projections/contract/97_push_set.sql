-- Deliver a queue's jobs, of one tenant or (null) of every one, to an endpoint; what is there under that queue and tenant is changed. True: something differs.
-- p_rotate: the next generation of the secret. max_run is how long the endpoint works on one job at most: a kind of the queue that may run longer is refused.
-- A push that was removed and is set again begins behind the generations that were: its stream counts more events than it had secrets.
-- A queue is delivered for every tenant, or for some by their own settings, never both: a job would have two endpoints.
-- Races: the table's lock lets one change after the other, and keeps a kind from being registered between the look at the kinds and the commit.
drop function if exists jobledger.push_set;

create function jobledger.push_set(
  p_shard smallint, p_queue text, p_tenant text, p_url text, p_batch int default 1, p_concurrency int default 10, p_max_run int default 60, p_start_failure text default 'attempt',
  p_rotate boolean default false, p_actor text default null, p_reason text default null
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_tenant text := coalesce(p_tenant, '_global');
  v_id uuid := jobledger.control_id(coalesce(p_tenant, '_global'), 'push', p_queue);
  v_long text[];
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.is_name(p_queue) or not (p_tenant is null or (jobledger.is_name(p_tenant) and p_tenant !~ '^_')) then
    perform jobledger.refuse('JL101', 'A queue''s name, and its tenant''s, have 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begin with a letter or digit.',
      'Nothing was changed; mend the call.');
  end if;
  if p_tenant is null and not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'This role may not act for every tenant.', 'Ask the owner for membership in jobledger_every_tenant.');
  elsif p_tenant is not null and not jobledger.may(p_tenant) then
    perform jobledger.refuse('JL400', 'This role may not act for that tenant.', 'Ask the owner for a row in jobledger.grants (role, tenant).');
  end if;
  if coalesce(length(p_url) > 2048 or p_url !~ '^https?://[\x21-\x7e]+$', true) then
    perform jobledger.refuse('JL101', 'An endpoint''s address is a URL of at most 2048 ASCII characters that begins with https://.', 'Nothing was changed; mend the call.');
  end if;
  if p_rotate is null or coalesce(p_batch not between 1 and 1000, true) or coalesce(p_concurrency not between 1 and 10000, true) or coalesce(p_max_run not between 1 and 86400, true)
      or coalesce(p_start_failure not in ('attempt', 'free'), true) then
    perform jobledger.refuse('JL101', 'A push has a batch of 1 to 1000 jobs, a concurrency of 1 to 10000, a max_run of 1 to 86400 s, and start_failure attempt or free.',
      'Nothing was changed; mend the call.');
  end if;
  lock table jobledger.pushes in share row exclusive mode;
  if exists (select from jobledger.pushes as p where p.shard = p_shard and p.queue = p_queue and (p.tenant = '_global') <> (v_tenant = '_global')) then
    perform jobledger.refuse('JL200', 'A queue is delivered for every tenant, or for some by their own settings, not both.', 'Remove the other first, or use another queue.');
  end if;
  v_long := jobledger.push_too_short(p_shard, p_queue, p_max_run);
  if cardinality(v_long) > 0 then
    perform jobledger.refuse('JL200', format('Kinds of this queue may run longer than max_run, which is %s s.', p_max_run), 'Raise max_run, or lower their timeout, or the queue''s.',
      jsonb_build_object('max_run', p_max_run, 'kinds', v_long));
  end if;
  insert into jobledger.pushes as p (changed_at, rotated_at, batch, concurrency, max_run, generation, shard, start_failure, tenant, queue, url, changed_by, reason)
  values (v_now, v_now, p_batch, p_concurrency, p_max_run, (select coalesce(max(t.head), 0) + 1 from jobledger.streams as t where t.shard = p_shard and t.id = v_id), p_shard, p_start_failure, v_tenant, p_queue, p_url, p_actor, p_reason)
  on conflict (shard, queue, tenant) do update set changed_at = v_now, rotated_at = case when p_rotate then v_now else p.rotated_at end, batch = p_batch, concurrency = p_concurrency,
    max_run = p_max_run, generation = p.generation + p_rotate::int, start_failure = p_start_failure, url = p_url, changed_by = p_actor, reason = p_reason
  where p_rotate or (p.batch, p.concurrency, p.max_run, p.start_failure, p.url) is distinct from (p_batch, p_concurrency, p_max_run, p_start_failure, p_url);
  if not found then
    return false;
  end if;
  if (select count(*) from jobledger.pushes as p where p.shard = p_shard) > 1000 then
    perform jobledger.refuse('JL101', 'There are 1000 pushes at most.', 'Remove one that nobody needs.');
  end if;
  -- Each of these tenants has a worker of its own in every process that delivers.
  if p_tenant is not null and (select count(distinct p.tenant) from jobledger.pushes as p where p.shard = p_shard and p.tenant <> '_global') > 50 then
    perform jobledger.refuse('JL101', 'At most 50 tenants have pushes of their own.', 'Push a queue of every tenant: the endpoint is told whose each job is.');
  end if;
  perform jobledger.append_control(p_shard, v_tenant, 'push', p_queue, 'queue.push_set', v_now, p_actor, jsonb_strip_nulls(jsonb_build_object('name', p_queue, 'url', p_url, 'batch', p_batch,
    'concurrency', p_concurrency, 'max_run', p_max_run, 'start_failure', p_start_failure, 'reason', p_reason)));
  return true;
end
$$;
