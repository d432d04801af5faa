-- Let a webhook go on. $1 shard, $2 tenant, $3 owner, $4 id, $5 to, $6 epoch, $7 block, $8 position, $9 at, $10 actor, $11 reason.
select jobledger.webhook_reset($1::smallint, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
