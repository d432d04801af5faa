-- The least id that a partition of the log takes, so the time before which jobs are gone with their partitions; null where there is none.
create or replace function jobledger.least_id() returns uuid
language sql stable
as $$
  select min(substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \(''([0-9a-f-]{36})''\)'))::uuid
  from pg_inherits as i join pg_class as c on c.oid = i.inhrelid where i.inhparent = 'jobledger.events'::regclass
$$;
