-- Which numbered migrations this database has had, each with the checksum of the text that was applied.
create table if not exists jobledger.migrations (
  number int primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null,
  applied_by text not null
)
