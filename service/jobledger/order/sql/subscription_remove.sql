-- Remove a subscription. $1 shard, $2 tenant, $3 name, $4 actor, $5 reason.
select jobledger.subscription_remove($1::smallint, $2, $3, $4, $5)
