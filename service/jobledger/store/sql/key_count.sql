-- How many keys that count the one of these tenants has that has most: $1 shard, $2 tenants. Two who make keys in the same moment may each see room: there is then one more.
select coalesce(max(n), 0) from (
  select count(*) as n from jobledger.keys as k cross join lateral unnest(k.tenants) as t
  where k.shard = $1::smallint and k.revoked_at is null and (k.expires_at is null or k.expires_at > jobledger.now()) and t = any ($2::text[])
  group by t
) as each
