-- Try again or give up what was set aside. $1 shard, $2 tenant, $3 name, $4 streams, $5 drop, $6 actor, $7 reason.
select jobledger.subscription_retry($1::smallint, $2, $3, $4, $5, $6, $7)
