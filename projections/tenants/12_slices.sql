-- Where a slice of the log ended. A slice closes after 50,000 events or a minute, whichever comes first (at the end of what one call of the fold took in), so counts as of any place are
-- stored levels and the events of at most one slice.
create table slices (
  block bigint not null,
  sealed_at timestamptz not null,
  shard smallint not null,
  primary key (shard, block)
);
