-- The key with which the service encrypts the cursors that it gives to tenants: null for a role that is bound to tenants, which could read its own with it.
drop function if exists jobledger.cursor_key;

create function jobledger.cursor_key() returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select s.value from jobledger.secrets as s where s.name = 'cursor' and jobledger.every_tenant()
$$;
