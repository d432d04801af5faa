-- Drop a projection's table before its changed file is applied: $1 table, written in as a name. Cascade: what hangs on it is applied again.
drop table if exists jobledger.$1 cascade
