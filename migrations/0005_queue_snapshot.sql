-- What bounds recovery: an index that finds the events which a snapshot did not see, and a logged copy of the live tables to go on from.

-- `xid` ascends with the log, and the events of one batch share it: a small index, written at its right end. A large log is read once for it, and appends wait
-- meanwhile; who cannot have that makes an index of each partition beforehand with CREATE INDEX CONCURRENTLY, which this statement then takes as it is.
create index events_xid on jobledger.events (xid);

-- The live rows as they were at the snapshot, one shape for all three tables: `state` is null for a row of `ready`. Read and written whole, so without an index.
-- One table: emptied and filled again in one transaction, it holds the old copy until the new one is committed.
create table jobledger.queue_snapshot_rows (
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
  worker uuid,
  claimed_at timestamptz,
  timeout_at timestamptz,
  claim int,
  call int,
  cancel_requested boolean,
  state jobledger.job_state,
  reason text,
  wake_at timestamptz
) with (autovacuum_enabled = off);

alter table jobledger.queue_snapshot_rows enable row level security;

-- What the copy saw and where: transaction ids mean something only in the cluster and database that gave them. `xid` copied: what else it appends may be younger than
-- the copy. `position` is the sequence's, so that the length of the tail is known without counting.
create table jobledger.queue_snapshots (
  shard smallint not null primary key,
  snapshot pg_snapshot not null,
  xid xid8 not null,
  taken_at timestamptz not null,
  position bigint not null,
  rows bigint not null,
  system_identifier bigint not null,
  database oid not null
);
