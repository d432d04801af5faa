-- Let the clock run on from $1.
update jobledger.test_clock set ahead = $1::timestamptz - pg_catalog.clock_timestamp(), stands_at = null
