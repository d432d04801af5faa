-- Delete a batch of what belongs to a retired partition: $1 shard, $2 name, $3 rows.
select jobledger.retire_rows($1::smallint, $2, $3)
