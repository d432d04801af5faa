-- The key of a hash ($2) or id ($3), as long as it counts, and the database's clock. $1 shard.
select at, id, name, roles, tenants, owner, rate, expires_at from jobledger.key_find($1::smallint, $2, $3)
