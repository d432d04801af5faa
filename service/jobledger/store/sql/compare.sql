-- Where the tables differ from the log: $1 shard, $2 ids or null for all.
select c.job, c.found, c.expected from jobledger.compare($1::smallint, $2::uuid[]) as c order by c.job
