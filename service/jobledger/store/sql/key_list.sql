-- A page of keys. $1 shard, $2 of these tenants only, $3 of this owner only, $4 ended ones too, $5 after this id, $6 at most.
select id, name, prefix, roles, tenants, owner, rate, created_at, created_by, expires_at, revoked_at, last_used from jobledger.key_list($1::smallint, $2, $3, $4, $5, $6)
