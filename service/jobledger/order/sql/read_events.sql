-- Events by their keys: $1 shard, $2 streams, $3 versions.
select e.ord, e.shard, e.position, e.stream_id, e.version, e.type, e.at, e.tenant, e.actor, e.worker, e.attempt, e.data
from jobledger.read_events($1::smallint, $2::uuid[], $3::int[]) as e
