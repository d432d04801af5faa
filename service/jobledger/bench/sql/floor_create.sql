-- The table of the floor: the log's columns, not partitioned, with a key of (stream_id, version) and nothing else.
create table jobledger.bench_floor (
  like jobledger.events,
  primary key (stream_id, version)
)
