-- Settings of a migrating transaction: $1 lock_timeout, so that what waits for a lock does not hold up everybody behind it;
-- names must be qualified, so that they mean the same in every database; what `drop … if exists` did not find is no news.
select pg_catalog.set_config('lock_timeout', $1::text, true), pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('client_min_messages', 'warning', true)
