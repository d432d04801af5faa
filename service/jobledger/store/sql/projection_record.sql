-- Note an applied projection file, in the transaction that applied it: $1 path, $2 checksum, $3 version of the code.
insert into jobledger.projection_files (path, checksum, version, applied_at)
values ($1::text, $2::text, $3::text, pg_catalog.clock_timestamp())
on conflict (path) do update set checksum = excluded.checksum, version = excluded.version, applied_at = excluded.applied_at
