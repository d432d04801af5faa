-- The statement that makes a scratch database: $1 its name. From template0, so that what was put into template1 is not taken for drift.
select pg_catalog.format('create database %I template template0', $1::text)
