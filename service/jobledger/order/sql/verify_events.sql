-- A page of the log by its key: $1 shard, $2 after this stream, $3 and this version of it, $4 up to this stream, $5 events, $6 positions alone.
select shard, position, stream_id, version, type, at, tenant, actor, worker, attempt, data
from jobledger.verify_events($1::smallint, $2::uuid, $3::int, $4::uuid, $5::int, $6::boolean)
