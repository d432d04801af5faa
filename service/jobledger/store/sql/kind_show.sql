-- One kind, also by an alias, with the schema of its arguments: $1 shard, $2 name.
select k.name, k.version, k.aliases, k.queue, k.max_attempts, k.timeout, k.kill_after, k.registered_at, coalesce(l.paused, false) as paused, k.schema::text as schema
from jobledger.kinds as k
left join jobledger.limits as l on l.shard = k.shard and l.scope = 'kind' and l.name = k.name
where k.shard = $1::smallint and (k.name = $2::text or $2::text = any (k.aliases))
order by k.name <> $2::text limit 1
