-- Prepared transactions of this database: they hold their locks and hold back vacuum, also over a restart.
select p.gid, p.owner::text as owner, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.prepared)::float8 as age_s
from pg_catalog.pg_prepared_xacts as p
where p.database = pg_catalog.current_database()
order by p.prepared
