-- The queues that are delivered to endpoints: those of one tenant, or (null) all; of one queue, or all. Who is bound to tenants sees those of its tenants.
drop function if exists jobledger.push_list;

create function jobledger.push_list(p_shard smallint, p_tenant text default null, p_queue text default null)
returns table (
  queue text, tenant text, url text, batch int, concurrency int, max_run int, start_failure text, generation int, rotated_at timestamptz, changed_at timestamptz, changed_by text, reason text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_every boolean := jobledger.every_tenant();
  v_tenants text[] := jobledger.my_tenants();
begin
  perform jobledger.check_words(p_shard, null, null);
  return query
  select p.queue, nullif(p.tenant, '_global'), p.url, p.batch, p.concurrency, p.max_run, p.start_failure, p.generation, p.rotated_at, p.changed_at, p.changed_by, p.reason
  from jobledger.pushes as p
  where p.shard = p_shard and (p_tenant is null or p.tenant = p_tenant) and (p_queue is null or p.queue = p_queue) and (v_every or p.tenant = any (v_tenants))
  order by p.queue, p.tenant;
end
$$;
