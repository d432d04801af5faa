-- Which of these events no block took in although one should have: $1 shard, $2 the last block that was read, $3 streams, $4 versions.
select stream_id, version, position from jobledger.verify_unsealed($1::smallint, $2::bigint, $3::uuid[], $4::int[])
