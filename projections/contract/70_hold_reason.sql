-- Why a job may not become claimable now: a pause of its tenant, queue or kind; null when nothing holds it.
create or replace function jobledger.hold_reason(p_shard smallint, p_tenant text, p_queue text, p_kind text) returns text
language sql stable
as $$
  select l.scope || '_paused' from jobledger.limits as l
  where l.shard = p_shard and l.paused and ((l.scope = 'tenant' and l.name = p_tenant) or (l.scope = 'queue' and l.name = p_queue) or (l.scope = 'kind' and l.name = p_kind))
  order by l.scope desc limit 1
$$;
