-- What operators have set: $1 shard, $2 scope or null for all, $3 name or null for all.
select l.scope, l.name, l.paused, l.max_attempts, l.timeout, l.kill_after, l.args_limit, l.result_limit, l.changed_at, l.changed_by, l.reason
from jobledger.limits as l
where l.shard = $1::smallint and ($2::text is null or l.scope = $2) and ($3::text is null or l.name = $3)
order by l.scope, l.name
