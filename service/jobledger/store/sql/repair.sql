-- Make the rows of these jobs what their streams say: $1 shard, $2 ids.
select r.job, r.found, r.expected from jobledger.repair($1::smallint, $2::uuid[]) as r order by r.job
