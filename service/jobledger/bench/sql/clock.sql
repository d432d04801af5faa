-- The database's clock, which all waits are counted by.
select jobledger.now()
