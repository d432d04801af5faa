-- Move checkpoints by compare-and-set. $1 shard, $2 id, $3 consumer, $4 slices, $5 taken, $6 and $7 from where, $8 to $10 to where. The slices that moved.
select jobledger.subscription_advance($1::smallint, $2, $3, $4::smallint[], $5, $6, $7, $8, $9, $10) as slice
