-- Which of the jobs $2 lie in a partition that is, or was, given up: $1 shard.
select x.id from unnest($2::uuid[]) as x (id) where jobledger.is_gone($1::smallint, x.id)
