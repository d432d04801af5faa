-- Which projection files this database has had last; `version` is the release that applied them, so that an older one does not undo it.
create table if not exists jobledger.projection_files (
  path text primary key,
  checksum text not null,
  version text not null,
  applied_at timestamptz not null
)
