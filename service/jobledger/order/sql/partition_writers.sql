-- The transactions that have appended to the log and are not over, prepared ones too: one of them may hold what belongs into an old partition and is not seen yet.
select distinct l.virtualtransaction as transaction, l.pid
from pg_catalog.pg_locks as l
where l.relation = 'jobledger.events'::pg_catalog.regclass and l.mode = 'RowExclusiveLock' and l.granted
  and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
