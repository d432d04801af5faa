-- Where the sealed events of one tenant or job lie after a place: $1 shard, $2 epoch, $3 block, $4 position, $5 events, $6 tenant, $7 types (null: any), $8 job.
-- A last row without a stream says how far was looked.
select o.block, o."position", o.epoch, o.sealed_at, o.stream_id, o.version, o.named
from jobledger.read_own($1::smallint, $2::int, $3::bigint, $4::bigint, $5::int, $6::text, $7::text[], $8::uuid) as o
