-- The jobs that workers hold. `claim` is the version of the claim's event: the fence of every report.
create table jobledger.running (
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
  worker uuid not null,
  claimed_at timestamptz not null,
  timeout_at timestamptz not null,
  claim int not null,
  call int not null,
  cancel_requested boolean not null default false,
  check (claim <= head)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

create index running_worker on jobledger.running (worker);

create index running_timeout on jobledger.running (timeout_at);

create index running_tenant on jobledger.running (tenant, id);

create index running_owner on jobledger.running (tenant, owner) where owner is not null;

create index running_kill on jobledger.running (kill_at) where kill_at is not null;

-- Last of all: of indexes that cost the same the planner takes the newest, and in a table that was analysed when it was empty all cost the same.
alter table jobledger.running add primary key (shard, id);
