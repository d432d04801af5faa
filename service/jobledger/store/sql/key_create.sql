-- Keep a new key. $1 shard, $2 hash, $3 prefix, $4 name, $5 roles, $6 tenants, $7 owner, $8 rate, $9 expires_at, $10 actor, $11 reason.
select id, created_at from jobledger.key_create($1::smallint, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
