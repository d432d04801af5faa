-- The class of a delay: it is at most 2^class seconds; 36 has no end. See `delayed`.
create function class_of(p_from timestamptz, p_to timestamptz) returns smallint
language sql immutable parallel safe
as $$
  select case when p_to - p_from <= interval '1 second' then 0::smallint else least(36, ceil(1.4426950408889634 * ln(date_part('epoch', p_to - p_from)) - 1e-9))::smallint end
$$;
