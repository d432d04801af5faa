-- Whether the database can be closed: an early one could not.
select pg_catalog.to_regprocedure('jobledger.close(smallint)') is not null
