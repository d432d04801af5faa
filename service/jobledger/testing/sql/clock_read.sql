-- The time, as every function of jobledger sees it.
select jobledger.now()
