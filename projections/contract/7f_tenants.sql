-- The tenants that had jobs, by name, after one of that name: how many of their jobs are in each state, as the projection has counted them (scheduled jobs among the ready ones).
-- Only those that the caller may see, and with `p_among` only those of that list. At most 1,000 a page.
drop function if exists jobledger.tenants;

create function jobledger.tenants(p_shard smallint, p_after text default '', p_limit int default 100, p_among text[] default null)
returns table (tenant text, ready bigint, running bigint, parked bigint, succeeded bigint, failed bigint, killed bigint, cancelled bigint, as_of timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_every boolean := jobledger.every_tenant() and p_among is null;
  v_tenant text := coalesce(p_after, '');
  v_mine text[] := case when jobledger.every_tenant() then p_among when p_among is null then jobledger.my_tenants()
    else array(select m from unnest(jobledger.my_tenants()) as m where m = any (p_among)) end;
  v_as_of timestamptz;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform jobledger.refuse('JL101', 'A page has 1 to 1000 tenants.', 'Mend the call.');
  end if;
  if to_regclass('jobledger_tenants.progress') is null then
    return;
  end if;
  v_as_of := jobledger.counted_as_of(p_shard, jobledger.now());
  for v_row in 1 .. p_limit loop
    if v_every then
      select l.tenant into v_tenant from jobledger_tenants.levels as l where l.shard = p_shard and l.tenant > v_tenant order by l.shard, l.tenant limit 1;
    else
      select l.tenant into v_tenant from (select unnest(v_mine) as tenant) as l where l.tenant > v_tenant and exists (select from jobledger_tenants.levels as x where x.shard = p_shard and x.tenant = l.tenant)
      order by l.tenant limit 1;
    end if;
    exit when v_tenant is null;
    return query
    select v_tenant, coalesce(sum(l.count) filter (where l.state = 'ready'), 0)::bigint, coalesce(sum(l.count) filter (where l.state = 'running'), 0)::bigint,
      coalesce(sum(l.count) filter (where l.state = 'parked'), 0)::bigint, coalesce(sum(l.count) filter (where l.state = 'succeeded'), 0)::bigint,
      coalesce(sum(l.count) filter (where l.state = 'failed'), 0)::bigint, coalesce(sum(l.count) filter (where l.state = 'killed'), 0)::bigint,
      coalesce(sum(l.count) filter (where l.state = 'cancelled'), 0)::bigint, v_as_of
    from jobledger_tenants.levels as l where l.shard = p_shard and l.tenant = v_tenant;
  end loop;
end
$$;
