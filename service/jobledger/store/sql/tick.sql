-- Promote, rescue, time out, kill, hold back, see to partitions: $1 shard, $2 the job after which to look for kill dates, or null.
select jobledger.tick($1::smallint, $2::uuid)::text
