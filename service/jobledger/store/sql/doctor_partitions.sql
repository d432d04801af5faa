-- The log's partitions: how many are attached, and how many whole months lie ahead.
select (select pg_catalog.count(*) from pg_catalog.pg_inherits as i where i.inhparent = 'jobledger.events'::pg_catalog.regclass)::int as attached,
  jobledger.partitions_ahead() as ahead
