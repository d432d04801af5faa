-- Subscriptions that stand still, lag or have set something aside: $1 shard, $2 seconds behind. Those of webhooks are looked at with the webhooks.
select nullif(s.tenant, '_global') as tenant, s.name, s.disabled, s.consumers, s.aside, s.lag_events, s.lag_exact, s.lag_s
from jobledger.subscription_list($1::smallint) as s
where s.disabled or s.aside > 0 or s.lag_s > $2::float8
