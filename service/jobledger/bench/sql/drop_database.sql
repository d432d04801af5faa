-- The command that drops the database of one measurement, also when a worker's connection is still open; $1 its name.
select format('drop database if exists %I with (force)', $1::text)
