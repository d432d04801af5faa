-- Make a projection's tables anew from the log: $1 shard, $2 projection. Returns the rows placed; 55P03 when the tables are not free.
select jobledger.rebuild($1::smallint, $2::text)
