-- Another body of the one clock, for tests. Security definer: every role that may ask for the time may ask this one.
create or replace function jobledger.now() returns timestamptz
language sql volatile parallel safe security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce(c.stands_at, clock_timestamp() + c.ahead) from jobledger.test_clock as c
$$
