-- Refuse who acts where it cannot be written down: $1 shard, $2 actor.
select jobledger.check_words($1::smallint, $2, null)
