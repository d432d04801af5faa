-- The month of a partition of the log by its name, null for any other name: the control streams' partition has none, and is never dropped.
create or replace function jobledger.partition_month(p_name text) returns timestamptz
language sql immutable
as $$
  select case when p_name ~ '^events_[0-9]{4}_(0[1-9]|1[0-2])$' then make_timestamptz(substr(p_name, 8, 4)::int, substr(p_name, 13, 2)::int, 1, 0, 0, 0, 'UTC') end
$$;
