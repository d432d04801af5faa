-- How many jobs of queue $1 have been claimed so far.
select (select count(*) from jobledger.finished where queue = $1::text) + (select count(*) from jobledger.running where queue = $1::text)
