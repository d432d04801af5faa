-- The one clock.
select jobledger.now()
