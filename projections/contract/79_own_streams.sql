-- How many jobs a tenant has, counted up to `p_limit`: whether to read its streams or everybody's blocks. Null where they cannot be told: the live tables are not open, or jobs of
-- transactions that were prepared when they were rebuilt may still be missing in them, or this server is a standby; and for the system's own tenant, whose events lie in the
-- streams of workers, too. `is true` keeps the primary keys away, by which every tenant's jobs would be read. Only for who sees every tenant.
drop function if exists jobledger.own_streams;

create function jobledger.own_streams(p_shard smallint, p_tenant text, p_limit int) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_count int;
begin
  perform jobledger.check_words(p_shard, p_tenant, null);
  if p_tenant is null or p_limit is null or p_limit not between 1 and 10000000 then
    perform jobledger.refuse('JL101', 'Name a tenant, and count up to 1 to 10000000 jobs.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  if p_tenant = '_global' or pg_is_in_recovery() or not jobledger.is_open(p_shard) or exists (select from jobledger.late as l where l.shard = p_shard) then
    return null;
  end if;
  select count(*) into v_count from (select from (
    select from jobledger.finished as f where f.tenant = p_tenant and (f.shard = p_shard) is true
    union all select from jobledger.ready as r where r.tenant = p_tenant and (r.shard = p_shard) is true
    union all select from jobledger.waiting as w where w.tenant = p_tenant and (w.shard = p_shard) is true
    union all select from jobledger.running as r where r.tenant = p_tenant and (r.shard = p_shard) is true
  ) as j limit p_limit) as c;
  return v_count;
end
$$;
