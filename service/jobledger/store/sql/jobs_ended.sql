-- Which of these jobs have ended: $1 shard, $2 ids. One look at the primary key for each.
select f.id from pg_catalog.unnest($2::uuid[]) as w (id) join jobledger.finished as f on f.shard = $1::smallint and f.id = w.id
