-- For how long the oldest event of those that began after the last block has been waiting for one, where that is more than $2 seconds: $1 shard. Events of transactions that were
-- open when the last block was sealed are passed over: they may have been committed a moment ago. Up to the newest id, since those of an earlier epoch may lie far above it.
-- `is true` keeps the primary key away, all of which would be read in a log that was never analysed.
with last as materialized (
  select b.epoch, b.first_position, b.snapshot from jobledger.blocks as b where b.shard = $1::smallint order by b.block desc limit 1
), epoch as materialized (
  select e.epoch, e.position_floor, e.since from jobledger.epochs as e where e.shard = $1::smallint order by e.epoch desc limit 1
), sealed as materialized (
  select case when l.epoch = p.epoch and l.first_position > p.position_floor then l.snapshot else p.since end as upto, p.position_floor as floor from epoch as p left join last as l on true
), oldest as (
  select e.at from jobledger.events as e
  where (e.shard = $1::smallint) is true and e.xid >= (select pg_catalog.pg_snapshot_xmax(s.upto) from sealed as s) and e.xid < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    and e.position > (select s.floor from sealed as s) order by e.xid limit 1
)
select pg_catalog.date_part('epoch', jobledger.now() - o.at)::float8 as for_s from oldest as o where o.at < jobledger.now() - pg_catalog.make_interval(secs => $2::float8)
