-- The levels as they were at the end of each slice: one row where a level had changed within it. The level as of a slice is that of the last row up to it.
create table past_levels (
  count bigint not null,
  block bigint not null,
  shard smallint not null,
  state jobledger.job_state not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  primary key (shard, tenant, queue, kind, state, block)
);
