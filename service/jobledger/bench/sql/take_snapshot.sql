-- Takes the snapshot of a repeatable-read transaction, by reading something.
select count(*) from jobledger.limits
