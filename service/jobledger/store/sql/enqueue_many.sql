-- Enqueue many jobs, all or nothing: $1 array of objects as json text, $2 actor, $3 strict, $4 shard.
select e.id, e.created from jobledger.enqueue_many($1::text::jsonb, $2::text, $3::boolean, $4::smallint) as e order by e.ord
