-- Have transaction ids stopped to mean what they meant when the last block was sealed? So after a restore into another cluster, a promotion, a recovery to a point in time, behind
-- logical replication (which also uses the sequence of positions up), and where ids began anew. Nothing is sealed then until open() has begun a new epoch.
-- Never compiled: see enqueue_many.
create or replace function jobledger.epoch_due(p_shard smallint) returns boolean
language sql stable set enable_seqscan = off set jit = off
as $$
  select not exists (
    select from (select e.* from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1) as e
    cross join pg_control_system() as c
    left join lateral (select b.* from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1) as b on b.epoch = e.epoch and b.first_position > e.position_floor
    where e.system_identifier = c.system_identifier and e.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
      and pg_snapshot_xmax(coalesce(b.snapshot, e.since)) <= pg_snapshot_xmax(pg_current_snapshot())
  ) or exists (select from jobledger.position as s where s.last_value = 9223372036854775807)
$$;
