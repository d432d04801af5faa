-- The backends of measured connections: those named $1, and the heartbeats of workers.
select pid from pg_stat_activity
where datname = current_database() and application_name in ($1::text, 'jobledger heartbeat')
