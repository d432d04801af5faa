-- What was written beside the measurement long ago: autovacuum has seen it since.
vacuum analyze
