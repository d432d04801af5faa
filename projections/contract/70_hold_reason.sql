-- Why a job may not become claimable now: a pause of its tenant, queue or kind; null when nothing holds it. One look by primary key each, however many pauses there are.
create or replace function jobledger.hold_reason(p_shard smallint, p_tenant text, p_queue text, p_kind text) returns text
language sql stable
as $$
  select case
    when exists (select from jobledger.limits as l where l.shard = p_shard and l.scope = 'tenant' and l.name = p_tenant and l.paused) then 'tenant_paused'
    when exists (select from jobledger.limits as l where l.shard = p_shard and l.scope = 'queue' and l.name = p_queue and l.paused) then 'queue_paused'
    when exists (select from jobledger.limits as l where l.shard = p_shard and l.scope = 'kind' and l.name = p_kind and l.paused) then 'kind_paused' end
$$;
