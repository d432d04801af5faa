-- Whether retention dropped what this id names, if there ever was such a thing: $1 shard, $2 id.
select jobledger.is_gone($1::smallint, $2)
