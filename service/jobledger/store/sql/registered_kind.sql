-- What is registered of a kind, also under an alias. $1 shard, $2 name.
select name, version, schema::text as schema
from jobledger.kinds
where shard = $1::smallint and (name = $2::text or $2::text = any (aliases))
order by name <> $2::text
limit 1
