-- What was moved out of the lanes beside the measurement, which autovacuum would have removed long ago.
vacuum analyze jobledger.ready
