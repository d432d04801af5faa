-- The statement that drops a scratch database: $1 its name.
select pg_catalog.format('drop database if exists %I with (force)', $1::text)
