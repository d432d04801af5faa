-- The place of a time in the order: the end of the last block sealed at or before it, also where blocks were merged since: $1 shard, $2 time.
select m.epoch, m.block, m.position from jobledger.moment_of_time($1::smallint, $2::timestamptz, true) as m
