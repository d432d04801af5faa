-- How many transactions this database has ended: of workers that only ask, one for each query.
select xact_commit + xact_rollback from pg_stat_database where datname = current_database()
