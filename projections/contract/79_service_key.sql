-- The key from which the service derives what it signs with: null for a role that is bound to tenants. Granted to those only that serve, not to who only reads.
drop function if exists jobledger.service_key;

create function jobledger.service_key() returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select s.value from jobledger.secrets as s where s.name = 'service' and jobledger.every_tenant()
$$;
