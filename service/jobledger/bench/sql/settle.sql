-- Statistics of the filled tables, as autovacuum would have taken them in time.
analyze
