-- Does anybody listen for sealed blocks? Tell them of one, if $2: $1 shard.
select jobledger.tell_sealed($1::smallint, $2::boolean)
