-- Take the next blocks of a projection: $1 shard, $2 name, $3 shadow, $4 events. First in the transaction that folds them; its row is locked until that ends.
select version, after, upto, events, as_of, rebuilding, more from jobledger.projection_take($1::smallint, $2::text, $3::boolean, $4::int)
