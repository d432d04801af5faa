-- A worker waits for jobs, or no longer does: $1 shard, $2 worker, $3 whether it waits.
select jobledger.worker_idle($1::smallint, $2::uuid, $3::boolean)
