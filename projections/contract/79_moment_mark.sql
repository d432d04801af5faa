-- What tells an epoch, and the last that an answer saw in it, from others of the same numbers: copies of one database, one that was set back, and one whose last transactions were lost in a
-- crash count on from the same numbers. The upper half is the epoch's; the lower that of an event, else of a block, else 0.
create or replace function jobledger.mark(p_epoch jobledger.epochs, e jobledger.events, b jobledger.blocks) returns bigint
language sql stable
as $$
  select ('x' || left(md5(extract(epoch from p_epoch.opened_at)::text), 8)
    || coalesce(left(coalesce(md5(e.stream_id || '/' || e.version || '/' || extract(epoch from e.at)), md5(b.snapshot::text || '/' || extract(epoch from b.sealed_at))), 8), '00000000'))::bit(64)::bigint
$$;
