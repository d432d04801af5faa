-- The order of the log: sealed blocks, the epochs in which transaction ids mean something, and the key of the cursors that tenants get.

alter type jobledger.event_type add value 'store.epoch_opened';

-- Sealing looks for a range of transaction ids, and within one transaction for a range of positions: without the second column one huge transaction would be read
-- again for each of its blocks. A large log is read once for it, and appends wait meanwhile; who cannot have that makes the index of each partition beforehand with
-- CREATE INDEX CONCURRENTLY, which this statement then takes as it is.
create index events_xid_position on jobledger.events (xid, position);

drop index jobledger.events_xid;

-- One row a block. Its events are those visible in `snapshot` and not in `since`, with position in first..last; the order of the log is (block, position).
-- What finds them fast: their transaction ids from first_xid to last_xid, and the `late` ones, which `since` saw in progress.
-- A large difference is cut by position into `parts` rows of the same two snapshots; the first of them keeps where the others begin and end.
create table jobledger.blocks (
  block bigint not null,
  first_position bigint not null,
  last_position bigint not null,
  position_hwm bigint not null,
  first_xid xid8,
  last_xid xid8,
  sealed_at timestamptz not null,
  count int not null,
  epoch int not null,
  part int not null,
  parts int not null,
  shard smallint not null,
  since pg_snapshot not null,
  snapshot pg_snapshot not null,
  late xid8[] not null,
  cuts bigint[],
  primary key (shard, block)
) partition by range (block);

create trigger blocks_only_append before update or delete on jobledger.blocks for each row execute function jobledger.forbid_change();

create trigger blocks_never_truncate before truncate on jobledger.blocks for each statement execute function jobledger.forbid_change();

alter table jobledger.blocks enable row level security;

-- Transaction ids mean something only in the cluster, and on the timeline, that gave them. Events up to the floor belong to earlier epochs, whatever their ids;
-- `since` is what the epoch's first block begins at.
create table jobledger.epochs (
  epoch int not null,
  position_floor bigint not null,
  system_identifier bigint not null,
  opened_at timestamptz not null,
  shard smallint not null,
  timeline text not null,
  since pg_snapshot not null,
  primary key (shard, epoch)
);

create trigger epochs_only_append before update or delete on jobledger.epochs for each row execute function jobledger.forbid_change();

create trigger epochs_never_truncate before truncate on jobledger.epochs for each statement execute function jobledger.forbid_change();

alter table jobledger.epochs enable row level security;

insert into jobledger.epochs (epoch, position_floor, system_identifier, opened_at, shard, timeline, since)
select 1, 0, c.system_identifier, pg_catalog.clock_timestamp(), 0, left(pg_walfile_name(pg_current_wal_lsn()), 8), '1:1:' from pg_control_system() as c;

-- What only the service knows. Two cursors that can be read tell how much everybody did between them, so tenants get them encrypted; the key is part of the
-- database, so that every process has the same one and a restored database reads the cursors it gave.
create table jobledger.secrets (
  name text collate "C" not null primary key,
  value bytea not null
);

alter table jobledger.secrets enable row level security;

insert into jobledger.secrets (name, value)
select 'cursor', sha512(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) from generate_series(1, 8);
