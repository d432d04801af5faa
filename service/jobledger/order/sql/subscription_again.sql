-- What is to be tried again of the slices that a consumer has. $1 shard, $2 id, $3 consumer, $4 at most.
select slice, block, epoch, sealed_at, shard, "position", stream_id, version, type, at, tenant, actor, worker, attempt, data from jobledger.subscription_again($1::smallint, $2, $3, $4)
