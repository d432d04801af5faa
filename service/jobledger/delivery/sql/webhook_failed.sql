-- Count a delivery that was not taken. $1 shard, $2 id, $3 slices, $4 status, $5 fault, $6 gone, $7 seconds until it is disabled, $8 actor.
select failures, since, disabled from jobledger.webhook_failed($1::smallint, $2, $3, $4, $5, $6, $7, $8)
