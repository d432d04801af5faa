-- Join a subscription ($1 shard, $2 id, $3 consumer, $4 what it says of itself), or renew; the slices that this consumer has.
select slice, taken, epoch, block, "position", deaths, surrender, aside, again from jobledger.subscription_take($1::smallint, $2, $3, $4)
