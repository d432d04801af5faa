-- Jobs that were moved to another queue, which are few: what each was moved to. All others are in the queue that their first event names.
-- A row goes after its job's partition of the log has been dropped: see `cut_back`.
create table moved (
  id uuid not null,
  version int not null,
  shard smallint not null,
  queue text collate "C" not null,
  primary key (shard, id, version)
);
