-- Where the WAL stands, and how many full-page images it holds so far, of the whole server.
select pg_current_wal_flush_lsn()::text as at, (select wal_fpi from pg_stat_wal) as images
