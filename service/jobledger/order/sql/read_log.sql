-- The sealed events after a place: $1 shard, $2 epoch, $3 block, $4 position, $5 events, $6 tenant, $7 types, $8 stream (null: any).
-- A last row without a type says how far was looked.
select r.block, r.epoch, r.sealed_at, r.shard, r.position, r.stream_id, r.version, r.type, r.at, r.tenant, r.actor, r.worker, r.attempt, r.data
from jobledger.read_log($1::smallint, $2::int, $3::bigint, $4::bigint, $5::int, $6::text, $7::text[], $8::uuid) as r
