-- An event that was tried again is done, or failed. $1 shard, $2 id, $3 consumer, $4 position, $5 error.
select jobledger.subscription_settled($1::smallint, $2, $3, $4, $5)
