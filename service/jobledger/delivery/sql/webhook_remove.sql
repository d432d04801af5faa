-- Remove a webhook. $1 shard, $2 tenant, $3 owner, $4 id, $5 actor, $6 reason.
select jobledger.webhook_remove($1::smallint, $2, $3, $4, $5, $6)
