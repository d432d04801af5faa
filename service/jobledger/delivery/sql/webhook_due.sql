-- The webhooks that are delivered to. $1 shard.
select id, tenant, name, url, filter, batch, generation, rotated_at, created_at, changed_at, slices, lease_s from jobledger.webhook_due($1::smallint)
