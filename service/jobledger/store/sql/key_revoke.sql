-- Take a key back. $1 shard, $2 id, $3 of these tenants only, $4 of this owner only, $5 actor, $6 reason. False: it was revoked before.
select jobledger.key_revoke($1::smallint, $2, $3, $4, $5, $6)
