-- What was scheduled: +1 for a job that was to run later than its event, -1 for one that left that place before its time. Nothing is written when the time comes, so the scheduled
-- jobs as of a block and a moment are the sum over the rows up to the block whose run_at is later than the moment.
-- `class`: the delay was at most 2^class seconds. A row is therefore only of interest to moments in the 2^class seconds before its run_at, which bounds what each class is read for.
create table delayed (
  run_at timestamptz not null,
  block bigint not null,
  delta int not null,
  shard smallint not null,
  class smallint not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null
);

create index delayed_tenant on delayed (shard, tenant, class, run_at);

create index delayed_age on delayed using brin (run_at);
