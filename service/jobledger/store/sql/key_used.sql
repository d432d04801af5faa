-- Note that keys were used. $1 shard, $2 their ids, $3 how many seconds ago.
select jobledger.key_used($1::smallint, $2, $3)
