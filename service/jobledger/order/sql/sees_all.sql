-- May this role see every tenant, and so the order of the log?
select jobledger.every_tenant()
