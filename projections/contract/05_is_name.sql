-- Is this a name as tenants, queues and kinds have them: 1 to 128 of A-Z a-z 0-9 . _ : @ / -, begun by a letter, digit or _. Never null.
create or replace function jobledger.is_name(p_name text) returns boolean
language sql immutable parallel safe
as $$
  select coalesce(p_name collate "C" ~ '^[A-Za-z0-9_][A-Za-z0-9._:@/-]*$' and length(p_name) <= 128, false)
$$;
