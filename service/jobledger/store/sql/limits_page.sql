-- A page of what operators have set, by scope and name: $1 shard, $2 scope or null for all, $3 name or null for all, $4 only of these tenants (and nothing else), null for everything,
-- $5 and $6 after this scope and name, $7 rows.
select l.scope, l.name, l.paused, l.max_attempts, l.timeout, l.kill_after, l.args_limit, l.result_limit, l.changed_at, l.changed_by, l.reason
from jobledger.limits as l
where l.shard = $1::smallint and ($2::text is null or l.scope = $2) and ($3::text is null or l.name = $3)
  and ($4::text[] is null or (l.scope = 'tenant' and l.name = any ($4))) and (l.scope, l.name) > ($5::text, $6::text)
order by l.scope, l.name limit $7::int
