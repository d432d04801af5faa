-- Be the role that owns the log until this transaction ends; false, and nothing is changed, where this role is no member of it.
select case when pg_catalog.pg_has_role(current_user, c.relowner, 'member') then set_config('role', pg_catalog.pg_get_userbyid(c.relowner), true) is not null else false end
from pg_catalog.pg_class as c
where c.oid = 'jobledger.events'::pg_catalog.regclass
