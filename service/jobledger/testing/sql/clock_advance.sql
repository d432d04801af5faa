-- Move the clock by $1; a standing one stands at the new time.
update jobledger.test_clock set ahead = ahead + $1::interval, stands_at = stands_at + $1::interval
