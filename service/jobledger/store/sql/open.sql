-- Make the live tables fit for work, rebuilding them if they are not: $1 shard. Says what it did, as json.
select jobledger.open($1::smallint)::text
