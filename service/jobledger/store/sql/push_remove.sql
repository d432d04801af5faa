-- Deliver a queue no more: $1 shard, $2 queue, $3 tenant or null, $4 actor, $5 reason.
select jobledger.push_remove($1::smallint, $2::text, $3::text, $4::text, $5::text)
