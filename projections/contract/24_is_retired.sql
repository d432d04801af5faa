-- Does this id lie in a partition of the log that is, or was, given up?
create or replace function jobledger.is_retired(p_shard smallint, p_id uuid) returns boolean
language sql stable
as $$
  select exists (select from jobledger.retired as r where r.shard = p_shard and p_id >= r.lower and p_id < r.upper)
$$;
