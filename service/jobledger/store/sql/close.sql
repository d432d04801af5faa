-- Say that the live tables are not to be trusted, so that everything but enqueue stands back: $1 shard. First step of a deliberate rebuild.
select jobledger.close($1::smallint)
