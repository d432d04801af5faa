-- Bytes of WAL written so far, by the whole server.
select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
