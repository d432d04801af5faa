-- Move the slices whose checkpoint the log does not have. $1 shard, $2 id.
select moved, reason from jobledger.subscription_mend($1::smallint, $2)
