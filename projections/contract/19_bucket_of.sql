-- The bucket of a length of time: 0 below a millisecond, then each 2^(1/4) = 1.19 times as long as the one before, so that its middle is at most 9.1 % from what lies in it.
-- The last one, 199, is everything above 21,000 years.
create or replace function jobledger.bucket_of(p_from timestamptz, p_to timestamptz) returns smallint
language sql immutable parallel safe
as $$
  select case when p_to - p_from < interval '1 millisecond' then 0::smallint
    else least(199, 1 + floor(5.770780163555852 * ln(date_part('epoch', p_to - p_from) * 1000)))::smallint end
$$;
