-- Webhooks, all or by tenant, owner and id, and how their deliveries go. `lag_s`: for how long the first block after its slowest slice has been waiting; `lag_events` counts
-- everybody's events, so it is nothing for a tenant's eyes.
drop function if exists jobledger.webhook_list;

create function jobledger.webhook_list(p_shard smallint, p_tenant text default null, p_owner text default null, p_id uuid default null)
returns table (
  id uuid, tenant text, name text, url text, filter text, batch smallint, generation int, disabled boolean, disabled_reason text, created_at timestamptz, changed_at timestamptz,
  rotated_at timestamptz, attempted_at timestamptz, succeeded_at timestamptz, last_status int, last_fault text, failing_since timestamptz, failures int, lag_events bigint, lag_s double precision
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query
  select w.id, w.tenant, w.name, w.url, s.filter::text, w.batch, w.generation, s.disabled, w.disabled_reason, w.created_at, w.changed_at, w.rotated_at, w.attempted_at, w.succeeded_at,
    w.last_status, w.last_fault, f.since, coalesce(f.failures, 0), l.events, l.seconds
  from jobledger.webhooks as w
  join jobledger.subscriptions as s on s.shard = p_shard and s.id = w.id
  cross join lateral (select min(x.since) as since, max(x.failures) as failures from jobledger.webhook_failures as x where x.shard = p_shard and x.webhook = w.id) as f
  cross join lateral (select x.block, x.position from jobledger.subscription_slices as x where x.shard = p_shard and x.subscription = w.id order by x.block, x.position limit 1) as t
  cross join lateral jobledger.lag_of(p_shard, t.block, t.position) as l
  where w.shard = p_shard and (p_id is null or w.id = p_id) and (p_tenant is null or w.tenant = p_tenant) and (p_owner is null or w.owner = p_owner)
  order by w.tenant, w.name;
end
$$;
