-- Subscriptions with place and lag. $1 shard, $2 tenant, $3 name.
select id, tenant, name, filter, slices, strict, disabled, max_failures, backoff_s, lease_s, created_at, changed_at, consumers, aside, epoch, block, "position", lag_events, lag_exact, lag_s
from jobledger.subscription_list($1::smallint, $2, $3)
