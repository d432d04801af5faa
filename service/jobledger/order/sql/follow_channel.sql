-- The channel on which readers are told of sealed blocks, which this session listens on from now on: $1 shard. Null for a role that is bound to tenants.
select jobledger.follow_channel($1::smallint)
