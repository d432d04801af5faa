-- What was applied, in order.
select number, name, checksum, applied_at, applied_by from jobledger.migrations order by number
