-- Whether this database was ever migrated: an empty one has neither table.
select pg_catalog.to_regclass('jobledger.migrations') is not null as migrations,
  pg_catalog.to_regclass('jobledger.projection_files') is not null as projections
