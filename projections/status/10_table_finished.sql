-- One row a finished job; what else it was is in its stream.
create table jobledger.finished (
  id uuid not null,
  finished_at timestamptz not null,
  head int not null,
  state jobledger.job_state not null,
  shard smallint not null,
  priority smallint not null,
  attempt smallint not null,
  max_attempts smallint not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  owner text collate "C",
  primary key (shard, id),
  check (state in ('succeeded', 'failed', 'killed', 'cancelled'))
);

create index finished_tenant on jobledger.finished (tenant, state, id);
