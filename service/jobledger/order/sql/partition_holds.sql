-- What still needs a partition: $1 shard, $2 its name.
select h.live, h.jobs, h.workers, h.finished
from jobledger.partition_range($2) as r cross join lateral jobledger.partition_holds($1::smallint, r.first, r.last) as h
where r.first is not null
