-- Bytes of WAL from $1 to $2.
select pg_wal_lsn_diff($2::text::pg_lsn, $1::text::pg_lsn)::bigint
