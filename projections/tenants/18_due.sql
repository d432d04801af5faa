-- What is scheduled as of the checkpoint, by the minute they are due in: what is scheduled now is counted without looking at each job.
create table due (
  minute timestamptz not null,
  count bigint not null,
  shard smallint not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  primary key (shard, tenant, queue, kind, minute)
);
