-- Refuse to write into a month for which the log has no partition, with its own name and the way out; the server's own error names neither.
create or replace function jobledger.must_have_partition(p_at timestamptz) returns void
language plpgsql stable
as $$
begin
  if to_regclass('jobledger.events_' || to_char(p_at at time zone 'UTC', 'YYYY_MM')) is null then
    perform jobledger.refuse('JL108', 'No partition of the log holds this month.', 'Run `jobledger tick` or `select jobledger.partitions_ensure()`.');
  end if;
end
$$;
