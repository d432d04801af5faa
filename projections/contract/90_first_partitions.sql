-- The partitions of this month and the next ones, so that the first enqueue finds its place.
select jobledger.partitions_ensure();
