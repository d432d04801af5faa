-- What jobs were enqueued as: $1 shard, $2 ids.
select id, tenant, queue, owner from jobledger.origins($1::smallint, $2::uuid[])
