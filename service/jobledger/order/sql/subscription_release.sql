-- Give slices back, or all of them and leave. $1 shard, $2 id, $3 consumer, $4 slices (null: all).
select jobledger.subscription_release($1::smallint, $2, $3, $4::smallint[])
