-- Where the log ends now, so that a test can ask for what came after: $1 shard.
select coalesce(max(position), 0) from jobledger.events where shard = $1::smallint
