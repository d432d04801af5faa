-- A page of the unique or the idempotency keys after (`p_tenant`, `p_key`), those at fault named: a unique key whose job is not open or never had it, an idempotency key whose
-- job never had it. A last row without a fault says how far was looked; none: there are no more. One statement, so one snapshot: a job's end and the release of its key are one
-- transaction. Only for who sees every tenant.
-- Plans: scalar selects and laterals, so one descent a key and table: joined, a log that was never analysed was read once for each key.
drop function if exists jobledger.verify_keys;

create function jobledger.verify_keys(p_shard smallint, p_what text, p_tenant text, p_key text, p_limit int) returns table (tenant text, key text, id uuid, fault text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_verify(p_shard, p_limit, num_nulls(p_tenant, p_key));
  if p_what is null or p_what not in ('unique', 'idempotency') then
    perform jobledger.refuse('JL101', 'Keys are unique or idempotency.', 'Mend the call.');
  end if;
  return query
  with page as materialized (
    select u.tenant, u.key, u.id from jobledger.unique_keys as u where p_what = 'unique' and u.shard = p_shard and (u.tenant, u.key) > (p_tenant, p_key) order by u.tenant, u.key limit p_limit
  ), more as materialized (
    select i.tenant, i.key, i.id from jobledger.idempotency as i where p_what = 'idempotency' and i.shard = p_shard and (i.tenant, i.key) > (p_tenant, p_key) order by i.tenant, i.key limit p_limit
  ), judged as (
    select p.tenant, p.key, p.id, case
        when e.tenant is distinct from p.tenant or e.key is distinct from p.key then 'a key that is not its own'
        when (select 1 from jobledger.ready as r where r.shard = p_shard and r.id = p.id) is null and (select 1 from jobledger.waiting as w where w.shard = p_shard and w.id = p.id) is null
          and (select 1 from jobledger.running as r where r.shard = p_shard and r.id = p.id) is null then 'a key of a job that is not open' end as fault
    from page as p left join lateral (select x.tenant, x.data ->> 'unique' as key from jobledger.events as x where x.shard = p_shard and x.stream_id = p.id and x.version = 1 offset 0) as e on true
    union all
    select p.tenant, p.key, p.id, case when e.tenant is distinct from p.tenant or e.key is distinct from p.key then 'a key that is not its own' end
    from more as p left join lateral (select x.tenant, x.data ->> 'key' as key from jobledger.events as x where x.shard = p_shard and x.stream_id = p.id and x.version = 1 offset 0) as e on true
  )
  select j.tenant, j.key, j.id, j.fault from judged as j where j.fault is not null
  union all
  (select j.tenant, j.key, null, null from judged as j order by j.tenant desc, j.key desc limit 1);
end
$$;
