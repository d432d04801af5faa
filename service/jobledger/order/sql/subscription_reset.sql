-- Let a subscription go on from elsewhere. $1 shard, $2 tenant, $3 name, $4 to $8 the place, $9 actor, $10 reason.
select jobledger.subscription_reset($1::smallint, $2, $3, $4, $5, $6, $7, $8, $9, $10)
