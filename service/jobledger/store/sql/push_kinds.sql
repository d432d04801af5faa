-- What whoever delivers jobs must know of the kinds: names, aliases, and what follows a failure. $1 shard.
select k.name, k.aliases, (e.data -> 'backoff')::text as backoff, e.data ->> 'on_timeout' as on_timeout
from jobledger.kinds as k
left join lateral (select x.data from jobledger.events as x where x.shard = k.shard and x.stream_id = k.id and x.version = k.head) as e on true
where k.shard = $1::smallint
order by k.name
