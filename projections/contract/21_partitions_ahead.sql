-- How many whole months ahead of now the log already has partitions for.
create or replace function jobledger.partitions_ahead() returns int
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select count(*)::int from generate_series(1, 120) as m(n)
  where to_regclass('jobledger.events_' || to_char(date_trunc('month', jobledger.now() at time zone 'UTC') + m.n * interval '1 month', 'YYYY_MM')) is not null
$$;
