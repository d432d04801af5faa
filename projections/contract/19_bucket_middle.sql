-- The middle of a bucket in seconds, that of the first half a millisecond: see bucket_of.
create or replace function jobledger.bucket_middle(p_bucket smallint) returns float8
language sql immutable parallel safe
as $$
  select case when p_bucket = 0 then 0.0005 else 2.0 ^ ((p_bucket - 0.5) / 4) / 1000 end
$$;
