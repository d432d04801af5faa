-- Open jobs that nobody may claim: scheduled, parked, or ready but held back (state 'ready' with a reason).
create table jobledger.waiting (
  id uuid not null,
  run_at timestamptz not null,
  kill_at timestamptz,
  head int not null,
  timeout int not null,
  shard smallint not null,
  priority smallint not null,
  attempt smallint not null,
  max_attempts smallint not null,
  releases smallint not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  owner text collate "C",
  unique_key text collate "C",
  state jobledger.job_state not null,
  reason text,
  wake_at timestamptz,
  check (state in ('scheduled', 'blocked', 'ready', 'suspended', 'parked'))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1);

create index waiting_wake on jobledger.waiting (wake_at) where wake_at is not null;

create index waiting_held on jobledger.waiting (reason, queue, tenant, kind) where state = 'ready';

-- With the state before the id: what is parked or held is listed without reading a tenant's millions of scheduled jobs.
create index waiting_tenant on jobledger.waiting (tenant, state, id);

create index waiting_owner on jobledger.waiting (tenant, owner) where owner is not null;

create index waiting_kill on jobledger.waiting (kill_at) where kill_at is not null;

-- Last of all: of indexes that cost the same the planner takes the newest, and in a table that was analysed when it was empty all cost the same.
alter table jobledger.waiting add primary key (shard, id);
