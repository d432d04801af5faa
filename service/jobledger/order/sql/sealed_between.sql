-- The sealed events of whole blocks, in the order of the log: $1 shard, above block $2, up to block $3.
select r.block, r.epoch, r.sealed_at, r.shard, r.position, r.stream_id, r.version, r.type::text as type, r.at, r.tenant, r.actor, r.worker, r.attempt, r.data::text as data
from jobledger.sealed_between($1::smallint, $2::bigint, $3::bigint) as r order by r.block, r.position
