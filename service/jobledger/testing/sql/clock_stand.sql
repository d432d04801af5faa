-- Let the clock stand at $1, or run on from there when it is null.
update jobledger.test_clock
set ahead = coalesce(stands_at - pg_catalog.clock_timestamp(), ahead), stands_at = $1::timestamptz
