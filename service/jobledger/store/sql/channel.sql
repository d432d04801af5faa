-- The channel that idle workers of shard $1 listen on; null for a role that is bound to tenants.
select jobledger.channel($1::smallint)
