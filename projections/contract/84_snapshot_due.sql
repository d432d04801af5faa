-- Is the queue snapshot too old: are there more events since than 200,000 and than twice the rows it copied? Then a copy costs less than 1.5 rows an event, and
-- recovery folds a tail in proportion to the open jobs. Never of logged tables, which a crash leaves as they are.
create or replace function jobledger.snapshot_due(p_shard smallint) returns boolean
language plpgsql stable
as $$
begin
  return (select c.relpersistence = 'u' and p.last_value - coalesce(q.position, 0) > greatest(200000, 2 * coalesce(q.rows, 0))
    from jobledger.position as p join pg_class as c on c.oid = to_regclass('jobledger.ready') left join jobledger.queue_snapshots as q on q.shard = p_shard);
end
$$;
