-- Drops the table of the bare insert, so that each stretch begins with an empty one.
drop table if exists jobledger.bench_bare
