-- Delete a batch of what belongs to a retired partition: $1 shard, $2 name, $3 after which finished job (null: the first), $4 rows.
select r.gone, r.next from jobledger.retire_rows($1::smallint, $2, $3, $4) as r
