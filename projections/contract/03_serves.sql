-- Do these functions serve a package that calls contract number p_contract? An older package asks it of a database that newer code has migrated, and goes on if so.
-- The number rises when a function that a package calls is changed so that the older ones can no longer call it; the lower end follows when those are given up.
create or replace function jobledger.serves(p_contract int) returns boolean
language sql immutable
as $$
  select coalesce(p_contract between 1 and 1, false)
$$;
