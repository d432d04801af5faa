-- One more partition of the log, for one calendar month (UTC). Made standalone, with its own indexes and TRUNCATE trigger, and attached under a short lock_timeout:
-- `create table … partition of` would wait behind any open reader, and every enqueue behind it. False: it is there, or somebody else is making it.
create or replace function jobledger.partition_add(p_month timestamptz) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '200ms'
as $$
declare
  v_from timestamptz := date_trunc('month', p_month, 'UTC');
  v_to timestamptz := date_trunc('month', p_month, 'UTC') + interval '1 month';
  v_name text := 'events_' || to_char(v_from, 'YYYY_MM');
begin
  if not pg_try_advisory_xact_lock(hashtextextended('jobledger.partition_add', 0)) or to_regclass('jobledger.' || v_name) is not null then
    return false;
  end if;
  execute format('create table jobledger.%I (like jobledger.events including defaults including constraints)', v_name);
  execute format('create index on jobledger.%I (xid, position)', v_name);
  execute format('create trigger events_never_truncate before truncate on jobledger.%I for each statement execute function jobledger.forbid_change()', v_name);
  execute format('alter table jobledger.events attach partition jobledger.%I for values from (%L) to (%L)', v_name, jobledger.first_id_at(v_from), jobledger.first_id_at(v_to));
  return true;
end
$$;
