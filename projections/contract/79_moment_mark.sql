-- Which epoch and which block it is, beyond their numbers: two copies of one database, and one that was set back, count on from the same numbers with other transactions.
-- The upper half is the epoch's, the lower the block's (0 for none).
create or replace function jobledger.mark(e jobledger.epochs, b jobledger.blocks) returns bigint
language sql stable
as $$
  select ('x' || left(md5(extract(epoch from e.opened_at)::text), 8)
    || coalesce(left(md5(b.snapshot::text || '/' || extract(epoch from b.sealed_at)), 8), '00000000'))::bit(64)::bigint
$$;
