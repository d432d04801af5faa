-- The partitions of the log and of its blocks: $1 shard.
select p.name, p.of, p.state, p.lower, p.upper, p.first_block, p.last_block, p.rows_estimate, p.bytes, p.live, p.finished, p.retired_at
from jobledger.partitions($1::smallint) as p
