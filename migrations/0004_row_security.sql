-- The tenant wall for who reads the log directly: the owner of the functions is not subject to it, they check my_tenants() themselves.
-- `tenant = any((select …)::text[])` becomes an index condition, a sub-select of the grants would not.

alter table jobledger.events enable row level security;

create policy events_own on jobledger.events for select using (tenant = any ((select jobledger.my_tenants())::text[]));

create policy events_every on jobledger.events for select to jobledger_every_tenant using (true);

alter table jobledger.idempotency enable row level security;

alter table jobledger.unique_keys enable row level security;

alter table jobledger.grants enable row level security;

grant usage on schema jobledger to jobledger_producer, jobledger_worker, jobledger_reader, jobledger_operator;

-- Grants on the parent only: a partition is read through it, or not at all.
grant select on jobledger.events to jobledger_reader, jobledger_operator;

grant select on jobledger.kinds to jobledger_reader, jobledger_operator, jobledger_worker, jobledger_producer;

revoke all on all functions in schema jobledger from public;

grant execute on function jobledger.now(), jobledger.new_id(timestamptz, int), jobledger.first_id_at(timestamptz), jobledger.time_of(uuid), jobledger.control_id(text, text, text),
  jobledger.caller(), jobledger.my_tenants(), jobledger.every_tenant() to jobledger_producer, jobledger_worker, jobledger_reader, jobledger_operator;
