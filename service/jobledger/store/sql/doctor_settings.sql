-- The server's settings that matter here, as they are for this connection, and how many connections are in use.
select pg_catalog.current_setting('server_version_num')::int as version, pg_catalog.current_setting('fsync') as fsync,
  pg_catalog.current_setting('full_page_writes') as full_page_writes, pg_catalog.current_setting('synchronous_commit') as synchronous_commit,
  pg_catalog.current_setting('autovacuum') as autovacuum, pg_catalog.current_setting('track_counts') as track_counts,
  pg_catalog.current_setting('default_transaction_isolation') as isolation,
  pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int as connections_allowed,
  (select pg_catalog.sum(d.numbackends) from pg_catalog.pg_stat_database as d)::int as connections_used,
  (select pg_catalog.date_part('epoch', s.setting::float8 * interval '1 ms')::int from pg_catalog.pg_settings as s where s.name = 'idle_in_transaction_session_timeout') as idle_in_transaction_s,
  (select pg_catalog.date_part('epoch', s.setting::float8 * interval '1 ms') from pg_catalog.pg_settings as s where s.name = 'statement_timeout') as statement_timeout_s,
  (select pg_catalog.age(d.datfrozenxid) from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()) as oldest_xid_age
