-- Whether this role owns the log (partitions are the owner's), and the time as jobledger sees it.
select pg_catalog.pg_has_role(current_user, c.relowner, 'usage') as owned, jobledger.now() as now
from pg_catalog.pg_class as c
where c.oid = 'jobledger.events'::pg_catalog.regclass
