-- Fill a projection's tables from the log: $1 projection. Called in the transaction that made the tables anew.
select jobledger.rebuild(0::smallint, $1::text)
