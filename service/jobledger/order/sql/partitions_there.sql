-- How many whole months ahead of now the log has partitions for.
select jobledger.partitions_ahead()
