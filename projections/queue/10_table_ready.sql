-- The claimable jobs. A claim deletes its rows here and inserts them into running; the lane index is what it walks.
create table jobledger.ready (
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
  unique_key text collate "C"
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

create index ready_lane on jobledger.ready (queue, tenant, priority, run_at, id);

create index ready_tenant on jobledger.ready (tenant, id);

create index ready_owner on jobledger.ready (tenant, owner) where owner is not null;

create index ready_kill on jobledger.ready (kill_at) where kill_at is not null;

-- Last of all: of indexes that cost the same the planner takes the newest, and in a table that was analysed when it was empty all cost the same.
alter table jobledger.ready add primary key (shard, id);
