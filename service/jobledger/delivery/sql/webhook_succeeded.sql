-- Note a delivery that was taken. $1 shard, $2 id, $3 slices, $4 status.
select jobledger.webhook_succeeded($1::smallint, $2, $3, $4)
