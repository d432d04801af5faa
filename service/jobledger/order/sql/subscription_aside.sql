-- What a subscription has set aside. $1 shard, $2 tenant, $3 name, $4 and $5 behind which place, $6 at most.
select epoch, block, "position", stream_id, version, type, at, tenant, state, failures, error, first_at, changed_at, changed_by, reason
from jobledger.subscription_aside($1::smallint, $2, $3, $4, $5, $6)
