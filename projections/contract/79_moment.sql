-- A moment of the past as the log can answer for it: which events count, and the clock by which a state is named. Of the events with a position up to `hwm` it takes in those up to
-- `floor` (earlier epochs'), those that `since` sees, and of those that `snapshot` sees the ones up to `position`. Transaction ids are compared within one epoch only.
-- `block` is the last one that it takes in whole, or the one that its place lies in.
drop type if exists jobledger.moment cascade;

create type jobledger.moment as (
  epoch int,
  block bigint,
  sealed_at timestamptz,
  at timestamptz,
  floor bigint,
  hwm bigint,
  position bigint,
  since pg_snapshot,
  snapshot pg_snapshot
);
