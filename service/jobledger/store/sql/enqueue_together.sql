-- Enqueue many jobs as `enqueue_many.sql` does, but wait at most $5 for what another transaction holds, such as an idempotency key: 55P03 then, and nothing was written.
-- The batch is handed over by what sets the limit, so the limit comes first; it ends with the statement's own transaction.
with patience as materialized (select set_config('lock_timeout', $5::text, true) as set)
select e.id, e.created from patience as p cross join lateral jobledger.enqueue_many(case when p.set is not null then $1::text::jsonb end, $2::text, $3::boolean, $4::smallint) as e order by e.ord
