-- Enqueue one job inside the caller's transaction, from any driver in any language. Returns its id (with an idempotency key that was used before: the first one's).
-- One expression, which the server puts into the calling statement: it costs nothing beside `enqueue_job`.
drop function if exists jobledger.enqueue;

create function jobledger.enqueue(
  kind text, args jsonb default '{}', tenant text default 'default', queue text default null, priority int default null, run_at timestamptz default null,
  kill_at timestamptz default null, timeout int default null, max_attempts int default null, owner text default null, tags text[] default null, meta jsonb default null,
  key text default null, unique_key text default null, backoff jsonb default null, trace jsonb default null, id uuid default null, actor text default null,
  strict boolean default false, shard smallint default 0
) returns uuid
language sql volatile
as $$
  select (jobledger.enqueue_job(kind, args, tenant, queue, priority, run_at, kill_at, timeout, max_attempts, owner, tags, meta, key, unique_key, backoff, trace, id, actor, strict, shard)).job
$$;
