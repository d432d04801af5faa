-- The table of the bare insert: what a caller says of a job, with a primary key and nothing else.
create table jobledger.bench_bare (
  id uuid primary key,
  kind text not null,
  args jsonb not null,
  tenant text not null
)
