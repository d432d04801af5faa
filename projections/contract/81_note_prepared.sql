-- Note in `late` the transactions that are prepared in this database. Their 32-bit ids are widened by the signed distance from the current one
-- (a prepared transaction may be from before the last wrap-around of 32 bits, or seem to be after it).
create or replace function jobledger.note_prepared(p_shard smallint) returns void
language sql
as $$
  insert into jobledger.late (shard, xid, noted_at)
  select p_shard, (c.now + ((p.transaction::text::bigint - c.now % 4294967296 + 6442450944) % 4294967296 - 2147483648))::text::xid8, jobledger.now()
  from pg_prepared_xacts as p, (select pg_current_xact_id()::text::bigint as now) as c
  where p.database = current_database()
  on conflict do nothing
$$;
