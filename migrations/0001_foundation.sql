-- The schema's foundation: roles, words, the clock, ids, refusals and the tenant wall.

create schema if not exists jobledger;

-- Roles belong to the whole cluster: two databases may migrate at the same moment, so losing the race is no error.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['jobledger_producer', 'jobledger_worker', 'jobledger_reader', 'jobledger_operator', 'jobledger_every_tenant'] loop
    begin
      if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
  -- A member of this role sees every tenant; who migrates is its first member.
  if not pg_catalog.pg_has_role(current_user, 'jobledger_every_tenant', 'usage') then
    execute format('grant jobledger_every_tenant to %I', current_user);
  end if;
end
$$;

create type jobledger.event_type as enum (
  'job.enqueued', 'job.claimed', 'job.progressed', 'job.succeeded', 'job.failed', 'job.lease_expired', 'job.snoozed', 'job.interrupted', 'job.released',
  'job.parked', 'job.unparked', 'job.cancel_requested', 'job.cancelled', 'job.killed', 'job.retried', 'job.rescheduled', 'job.reprioritised', 'job.moved',
  'job.redacted',
  'worker.started', 'worker.heartbeat', 'worker.report_rejected', 'worker.stopped',
  'kind.registered', 'kind.paused', 'kind.resumed', 'kind.limited',
  'queue.paused', 'queue.resumed', 'queue.limited',
  'tenant.paused', 'tenant.resumed', 'tenant.limited',
  'store.limited', 'store.rebuilt', 'store.mismatch_repaired', 'store.partition_dropped'
);

create type jobledger.job_state as enum (
  'scheduled', 'blocked', 'ready', 'running', 'suspended', 'parked', 'succeeded', 'failed', 'killed', 'cancelled'
);

-- The one clock. Databases made for tests install another body.
create function jobledger.now() returns timestamptz
language sql volatile parallel safe
return pg_catalog.clock_timestamp();

-- A version 7 uuid for a moment (RFC 9562, 5.7; method 3: 12 more bits of the clock). `ordinal` keeps the ids of one call ascending.
-- The rest is random(), 58 bits from a generator seeded strongly for each session: an id is no secret, and strong randomness costs 8 us where Postgres has no OpenSSL.
create function jobledger.new_id(at timestamptz default null, ordinal int default 0) returns uuid
language sql volatile parallel safe
as $$
  select (overlay(pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.floor(extract(epoch from coalesce(at, jobledger.now())) * 4096000)::bigint + ordinal), 15, '0') placing '7' from 13 for 0)
    || pg_catalog.to_hex(8 + pg_catalog.floor(pg_catalog.random() * 4)::int) || pg_catalog.lpad(pg_catalog.to_hex((pg_catalog.random() * 4294967295)::bigint), 8, '0')
    || pg_catalog.lpad(pg_catalog.to_hex((pg_catalog.random() * 268435455)::bigint), 7, '0'))::uuid
$$;

-- The least uuid whose own time is `at`, in whole milliseconds: the bound of a range over time.
create function jobledger.first_id_at(at timestamptz) returns uuid
language sql immutable parallel safe
as $$
  select (pg_catalog.lpad(pg_catalog.to_hex(pg_catalog.floor(extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- The creation time that a version 7 uuid carries, to the millisecond.
create function jobledger.time_of(id uuid) returns timestamptz
language sql immutable parallel safe
as $$
  select pg_catalog.to_timestamp(('x' || pg_catalog.substr(pg_catalog.replace(id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0)
$$;

-- The fixed stream id of a thing that lives for years: first 32 bits set, the rest a hash of tenant, kind of thing and name.
create function jobledger.control_id(tenant text, what text, name text) returns uuid
language sql immutable parallel safe
as $$
  select ('ffffffff' || pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(tenant, 'UTF8') || '\x00'::bytea
    || pg_catalog.convert_to(what, 'UTF8') || '\x00'::bytea || pg_catalog.convert_to(name, 'UTF8')), 'hex'), 1, 24))::uuid
$$;

-- Raise a named error: the sentence that states the facts, the way out, and machine-readable facts.
create function jobledger.refuse(p_code text, p_message text, p_hint text default null, p_detail jsonb default null) returns void
language plpgsql
as $$
begin
  raise exception using errcode = p_code, message = p_message, hint = coalesce(p_hint, ''), detail = coalesce(p_detail::text, '');
end
$$;

-- Who may see and enqueue for which tenant.
create table jobledger.grants (
  role text collate "C" not null,
  tenant text collate "C" not null,
  granted_at timestamptz not null default jobledger.now(),
  primary key (role, tenant)
);

-- The role that really asks: inside a definer function current_user is the owner, while this setting still holds what SET ROLE chose (the server checked membership).
create function jobledger.caller() returns text
language sql stable parallel safe
as $$
  select case pg_catalog.current_setting('role') when 'none' then session_user::text else pg_catalog.current_setting('role') end
$$;

create function jobledger.my_tenants() returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(g.tenant), '{}') from jobledger.grants as g where g.role = jobledger.caller()
$$;

create function jobledger.every_tenant() returns boolean
language sql stable parallel safe
as $$
  select pg_catalog.pg_has_role(jobledger.caller(), 'jobledger_every_tenant', 'usage')
$$;

create function jobledger.may(p_tenant text) returns boolean
language sql stable
as $$
  select jobledger.every_tenant() or p_tenant = any (jobledger.my_tenants())
$$;
