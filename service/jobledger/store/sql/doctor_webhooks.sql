-- Webhooks that are disabled, or whose endpoint has not taken what waits for it: $1 shard, $2 seconds behind. What it answered is told by its status or one word.
select w.id::text as id, nullif(w.tenant, '_global') as tenant, w.name, w.disabled, w.disabled_reason, w.failures, coalesce('status ' || w.last_status, w.last_fault) as last, w.lag_s
from jobledger.webhook_list($1::smallint) as w
where w.disabled or w.lag_s > $2::float8
