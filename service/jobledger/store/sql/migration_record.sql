-- Note an applied migration, in its own transaction: $1 number, $2 name, $3 checksum, $4 version of the code.
insert into jobledger.migrations (number, name, checksum, applied_at, applied_by)
values ($1::int, $2::text, $3::text, pg_catalog.clock_timestamp(), session_user || ', jobledger ' || $4::text)
