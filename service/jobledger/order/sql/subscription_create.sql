-- Create a durable subscription, or find it. $1 shard, $2 tenant, $3 name, $4 filter, $5 slices, $6 strict, $7 failures, $8 back-off, $9 lease, $10..$14 where it begins, $15 actor, $16 reason.
select jobledger.subscription_create($1::smallint, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
