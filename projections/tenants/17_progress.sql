-- How far the counts have come, how many events the open slice has and when it began, and when things that grow were last cut back. One row a shard.
create table progress (
  block bigint not null,
  sealed_at timestamptz not null,
  events bigint not null,
  began_at timestamptz,
  cut_at timestamptz not null,
  shard smallint not null primary key
) with (fillfactor = 50);
