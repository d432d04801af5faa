-- Attach the partition of the month that $1 lies in.
select jobledger.partition_add($1::timestamptz)
