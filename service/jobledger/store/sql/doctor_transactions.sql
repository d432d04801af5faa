-- Transactions of this database, open for longer than $1 seconds, that hold back vacuum: what dies after their snapshot stays. No query text: it may hold values.
select a.pid, coalesce(a.application_name, '') as application, coalesce(a.usename::text, '') as user_name, a.state,
  pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)::float8 as age_s
from pg_catalog.pg_stat_activity as a
where a.datname = pg_catalog.current_database() and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type = 'client backend'
  and a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1::float8)
order by a.xact_start
