-- Dead rows of this schema's tables, as the statistics have them.
select t.relname::text as name, t.n_live_tup as live, t.n_dead_tup as dead, greatest(t.last_vacuum, t.last_autovacuum) as vacuumed_at
from pg_catalog.pg_stat_user_tables as t
where t.schemaname = 'jobledger'
order by t.n_dead_tup desc, t.relname
