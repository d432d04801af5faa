-- Copy the live tables for the next recovery, if that is due: $1 shard. Says whether it did.
select jobledger.queue_snapshot($1::smallint)
