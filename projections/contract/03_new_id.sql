-- A new id of version 7: the milliseconds of a moment and 12 bits of its fraction, then 52 random bits. `ordinal` keeps the ids of one statement apart and in order.
-- The random bits are its last: by the last 28 of them streams are parted into slices. random() has 52 bits, so times 2^52 it is a whole number: one less, and rounding leaves twice as many odd ones.
-- Few functions, since in a transaction of its own each is made ready anew: 8 us a call where the first form cost 16.
create or replace function jobledger.new_id(at timestamptz default null, ordinal int default 0) returns uuid
language sql volatile parallel safe
as $$
  select (overlay(pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.floor(extract(epoch from coalesce(at, jobledger.now())) * 4096000)::bigint + ordinal), 15, '0') placing '7' from 13 for 0)
    || pg_catalog.to_hex(-9223372036854775807 + (pg_catalog.random() * 4503599627370496)::bigint))::uuid
$$;
