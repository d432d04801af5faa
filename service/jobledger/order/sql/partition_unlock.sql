-- Let the next one.
select pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('jobledger.partitions', 0))
