-- Replication slots that nobody reads: they keep write-ahead log, and dead rows, for ever.
select s.slot_name::text as name, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint as kept_bytes
from pg_catalog.pg_replication_slots as s
where not s.active
order by s.slot_name
