-- Drop a partition of blocks ($1, a name that this package made) that is detached and holds no row.
drop table jobledger.$1
