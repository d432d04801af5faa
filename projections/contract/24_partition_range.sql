-- From when to when the ids of a partition of the log were made, by its name: a calendar month (UTC); null for any other name. The control streams' partition has none, and is never
-- dropped. `first` and `last` are the bounds of the ids: from the one to below the other.
create or replace function jobledger.partition_range(p_name text, out lower timestamptz, out upper timestamptz, out first uuid, out last uuid)
language plpgsql immutable
as $$
declare
  v_year int;
  v_month int;
begin
  if p_name ~ '^events_[0-9]{4}_(0[1-9]|1[0-2])$' then
    v_year := substr(p_name, 8, 4);
    v_month := substr(p_name, 13, 2);
    lower := make_timestamptz(v_year, v_month, 1, 0, 0, 0, 'UTC');
    upper := make_timestamptz(v_year + v_month / 12, v_month % 12 + 1, 1, 0, 0, 0, 'UTC');
    first := jobledger.first_id_at(lower);
    last := jobledger.first_id_at(upper);
  end if;
end
$$;
