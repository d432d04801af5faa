-- Pause: $1 shard, $2 tenant, queue or kind, $3 its name, $4 actor, $5 reason. True: it was not paused before.
select jobledger.pause($1::smallint, $2::text, $3::text, $4::text, $5::text)
