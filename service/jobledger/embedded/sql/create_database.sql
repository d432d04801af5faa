-- The database that jobledger lives in. Sent in single-user mode while the cluster is still under its temporary name:
-- there is no moment at which a started server lacks it, so no race to guard.
create database jobledger;
