-- One runner at a time in a database; the lock is the session's and goes with it. Tried, never waited for: a waiting statement holds
-- a snapshot, and a migration that builds an index concurrently would wait for that in turn.
select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('jobledger.migrate', 0))
