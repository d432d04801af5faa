-- How long a statement of this transaction may take: $1 at most, or less where the session says so.
select pg_catalog.set_config('statement_timeout', (extract(epoch from $1::interval) * 1000)::bigint::text, true)
where current_setting('statement_timeout')::interval = interval '0' or current_setting('statement_timeout')::interval > $1::interval
