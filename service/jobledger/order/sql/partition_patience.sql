-- How long a statement of this session waits for a lock, such as '10s': $1. What detaches waits for others, and nobody waits for it.
select pg_catalog.set_config('lock_timeout', $1, false)
