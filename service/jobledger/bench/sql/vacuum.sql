-- What was written beside the measurement long ago: autovacuum has seen it since. Not the months of the log that are written to, which it passes over (see `partitions_tend`).
vacuum analyze jobledger.ready, jobledger.waiting, jobledger.running, jobledger.finished
