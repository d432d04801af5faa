-- Create a webhook. $1 shard, $2 tenant, $3 name, $4 URL, $5 filter, $6 events a request, $7 to, $8 epoch, $9 block, $10 position, $11 at, $12 actor, $13 reason.
select id, generation, created from jobledger.webhook_create($1::smallint, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9, $10, $11, $12, $13)
