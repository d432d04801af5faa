-- Which database this is, however it was reached: the cluster's own number and the database's, so that two addresses can be told to be one.
select c.system_identifier::text as cluster, d.oid::text as database from pg_catalog.pg_control_system() as c, pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()
