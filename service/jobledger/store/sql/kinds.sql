-- A page of the registered kinds, by name: $1 shard, $2 after this name, $3 rows.
select k.name, k.version, k.aliases, k.queue, k.max_attempts, k.timeout, k.kill_after, k.registered_at, coalesce(l.paused, false) as paused
from jobledger.kinds as k
left join jobledger.limits as l on l.shard = k.shard and l.scope = 'kind' and l.name = k.name
where k.shard = $1::smallint and k.name > $2::text
order by k.name limit $3::int
