-- The log's partitions: how many are attached, how many whole months lie ahead, and which are being given up.
select (select pg_catalog.count(*) from pg_catalog.pg_inherits as i where i.inhparent = 'jobledger.events'::pg_catalog.regclass)::int as attached,
  jobledger.partitions_ahead() as ahead,
  array(select r.name from jobledger.retired as r where r.dropped_at is null order by r.name) as retiring
