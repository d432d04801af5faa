-- How many jobs a tenant has, up to $3; null where they cannot be told: $1 shard, $2 tenant.
select jobledger.own_streams($1::smallint, $2::text, $3::int)
