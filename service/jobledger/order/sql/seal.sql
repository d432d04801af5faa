-- Seal at most one block: $1 shard. Alone in its transaction.
select block, events, more, busy from jobledger.seal($1::smallint)
