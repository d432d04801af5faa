-- The key of the service, from which all others are derived; null for a role that is bound to tenants.
select jobledger.service_key()
