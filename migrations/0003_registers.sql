-- The tables that are always logged beside the log: who works, what was registered and set, keys, and whether the live tables are rebuilt.

-- One row an incarnation of a worker: the lease is the worker's, not the job's. Fillfactor: a heartbeat is a HOT update.
create table jobledger.workers (
  id uuid not null,
  lease_until timestamptz not null,
  started_at timestamptz not null,
  seen_at timestamptz not null,
  stopped_at timestamptz,
  head int not null,
  settled int not null default 0,
  beat int not null default 0,
  lease int not null,
  shard smallint not null,
  queues jsonb,
  kinds text[] not null,
  tenants text[],
  about jsonb not null default '{}',
  stalled_s real not null default 0,
  primary key (shard, id)
) with (fillfactor = 50);

create index workers_running on jobledger.workers (shard, started_at) where stopped_at is null;

create table jobledger.kinds (
  id uuid not null,
  head int not null,
  shard smallint not null,
  version int not null,
  name text collate "C" not null,
  aliases text[] not null default '{}',
  schema jsonb,
  queue text collate "C",
  max_attempts int,
  timeout int,
  kill_after bigint,
  registered_at timestamptz not null,
  primary key (shard, name)
);

-- What operators set: pauses and defaults of a tenant, queue or kind, and of the service (name '').
create table jobledger.limits (
  id uuid not null,
  head int not null,
  shard smallint not null,
  paused boolean not null default false,
  scope text collate "C" not null check (scope in ('tenant', 'queue', 'kind', 'service')),
  name text collate "C" not null,
  max_attempts int,
  timeout int,
  kill_after bigint,
  args_limit int,
  result_limit int,
  changed_at timestamptz not null,
  changed_by text,
  reason text,
  primary key (shard, scope, name)
);

create index limits_paused on jobledger.limits (shard, scope, name) where paused;

create table jobledger.idempotency (
  id uuid not null,
  expires timestamptz not null,
  shard smallint not null,
  tenant text collate "C" not null,
  key text collate "C" not null,
  hash bytea not null,
  primary key (shard, tenant, key)
);

create index idempotency_expires on jobledger.idempotency (expires);

-- One open job a key; the row goes when the job is finished.
create table jobledger.unique_keys (
  id uuid not null,
  shard smallint not null,
  tenant text collate "C" not null,
  key text collate "C" not null,
  primary key (shard, tenant, key)
);

-- A row that names this server means: the live tables are rebuilt. It has the same persistence as they.
create table jobledger.live (
  shard smallint not null primary key,
  opened_at timestamptz not null,
  system_identifier bigint not null,
  timeline text not null
);

-- Transactions that were prepared when the live tables were rebuilt: their jobs are repaired once they have ended.
create table jobledger.late (
  shard smallint not null,
  xid xid8 not null,
  noted_at timestamptz not null,
  primary key (shard, xid)
);
