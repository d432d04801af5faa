-- A worker ends: $1 shard, $2 worker, $3 reason.
select jobledger.worker_stop($1::smallint, $2::uuid, $3::text)
