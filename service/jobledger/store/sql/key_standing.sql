-- Which of these keys count. $1 shard, $2 their ids.
select jobledger.key_standing($1::smallint, $2)
