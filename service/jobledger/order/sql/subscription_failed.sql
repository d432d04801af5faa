-- Count a failure, or set an event aside. $1 shard, $2 id, $3 consumer, $4 slice, $5 taken, $6 what happened, $7 to $9 the event's place, $10 stream, $11 version, $12 error.
select failures, aside from jobledger.subscription_failed($1::smallint, $2, $3, $4::smallint, $5, $6, $7, $8, $9, $10, $11, $12)
