-- Ids of $1 jobs that have ended, from all over the table: pages drawn at random, so that no order of writing shows.
select f.id from jobledger.finished as f tablesample system (1) limit $1::int
