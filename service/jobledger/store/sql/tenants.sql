-- A page of the tenants, with how many jobs each has in each state: $1 shard, $2 after this name, $3 how many, $4 only those of this list, null for all.
select tenant, ready, running, parked, succeeded, failed, killed, cancelled, as_of from jobledger.tenants($1::smallint, $2::text, $3::int, $4::text[])
