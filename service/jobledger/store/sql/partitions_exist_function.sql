-- Whether the schema knows partitions yet.
select pg_catalog.to_regprocedure('jobledger.partitions_ensure(smallint, int)') is not null
