-- Whether the live tables are rebuilt on this very server: $1 shard.
select jobledger.is_open($1::smallint)
