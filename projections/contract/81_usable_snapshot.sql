-- The queue snapshot, if `open` may go on from it; else no row. Transaction ids mean something only in the cluster and database that gave them: after a dump was restored,
-- in a copied database, behind logical replication, and where ids began anew, the whole log is folded. A promoted standby or a crash may go on: whoever has the copy
-- has every earlier record of the WAL, so each id below the snapshot's end was given before and is not given again. A copy with rows missing (dumped in the
-- moment it was replaced) is none.
create or replace function jobledger.usable_snapshot(p_shard smallint) returns setof jobledger.queue_snapshots
language sql stable
as $$
  select q.* from jobledger.queue_snapshots as q, pg_control_system() as c
  where q.shard = p_shard and q.system_identifier = c.system_identifier and q.database = (select d.oid from pg_database as d where d.datname = current_database())
    and pg_snapshot_xmax(q.snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
    and q.rows = (select count(*) from jobledger.queue_snapshot_rows as r where r.shard = p_shard)
$$;
