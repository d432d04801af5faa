-- Which queues are delivered to endpoints: $1 shard, $2 tenant or null, $3 queue or null.
select * from jobledger.push_list($1::smallint, $2::text, $3::text)
