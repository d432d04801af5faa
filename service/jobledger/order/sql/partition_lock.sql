-- One session sees to partitions at a time.
select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('jobledger.partitions', 0))
