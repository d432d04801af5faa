-- Are the live tables unlogged: all four change together, so one tells.
select c.relpersistence = 'u' from pg_catalog.pg_class as c where c.oid = 'jobledger.ready'::pg_catalog.regclass
