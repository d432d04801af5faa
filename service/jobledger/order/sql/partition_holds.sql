-- What still needs a partition: $1 shard, $2 its name.
select h.live, h.jobs, h.workers, h.finished
from jobledger.retired as r cross join lateral jobledger.partition_holds(r.shard, r.lower, r.upper) as h
where r.shard = $1::smallint and r.name = $2
