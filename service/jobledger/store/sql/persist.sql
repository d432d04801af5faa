-- Make the live tables unlogged ($2 true) or logged, by the actor $3; answers whether that changed anything.
select jobledger.persist($1::smallint, $2, $3)
