-- A page of keys, those at fault, and last how far was looked: $1 shard, $2 unique or idempotency, $3 tenant and $4 key to go on after, $5 keys.
select tenant, key, id, fault from jobledger.verify_keys($1::smallint, $2::text, $3::text, $4::text, $5::int)
