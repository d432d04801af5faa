-- The slices of a subscription. $1 shard, $2 tenant, $3 name.
select slice, epoch, block, "position", moved_at, failures, lag_events, lag_exact, lag_s, consumer, about, lease_until from jobledger.subscription_places($1::smallint, $2, $3)
