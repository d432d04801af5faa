-- Let the next runner in.
select pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('jobledger.migrate', 0))
