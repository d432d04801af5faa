-- Drops the floor's table, so that the measurement after begins as empty as the one before.
drop table if exists jobledger.bench_floor
