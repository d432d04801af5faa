-- Enqueue $2 jobs, numbered from $1 on, in one statement: $3 tenants in turn whose names begin with $4 (0: that one), of kind $5, in queue $6, due in $7 seconds.
select count(*)
from jobledger.enqueue_many((
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', $5::text, 'tenant', $4::text || coalesce((n % nullif($3::int, 0))::text, ''), 'queue', $6::text,
    'run_at', jobledger.now() + $7::float8 * interval '1 second')))
  from generate_series($1::bigint, $1::bigint + $2::bigint - 1) as n
))
