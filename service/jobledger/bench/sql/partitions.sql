-- How many partitions the log has.
select count(*) from pg_inherits where inhparent = 'jobledger.events'::regclass
