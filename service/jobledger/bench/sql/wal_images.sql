-- Bytes of the full-page images in the WAL from $1 to $2. Fails where the extension is missing or a segment is gone.
select coalesce(sum(fpi_size), 0)::bigint from pg_get_wal_stats($1::text::pg_lsn, $2::text::pg_lsn) where $1::text <> $2::text
