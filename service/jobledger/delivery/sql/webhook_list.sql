-- Webhooks and how their deliveries go. $1 shard, $2 tenant, $3 owner, $4 id; null: any.
select id, tenant, name, url, filter, batch, generation, disabled, disabled_reason, created_at, changed_at, rotated_at, attempted_at, succeeded_at, last_status, last_fault, failing_since, failures, lag_events, lag_s
from jobledger.webhook_list($1::smallint, $2, $3, $4)
