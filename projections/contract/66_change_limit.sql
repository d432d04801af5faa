-- One change to a row of `limits` (a pause, its end, a default) and its event, in one. The row carries the head of its control stream; its lock orders the changes.
-- The streams of kinds have their head in `kinds` when the kind is registered, so limits keep a stream of their own ('limit:<scope>').
create or replace function jobledger.change_limit(p_shard smallint, p_scope text, p_name text, p_type text, p_paused boolean, p_set jsonb, p_actor text, p_reason text) returns boolean
language plpgsql
as $$
declare
  v_now timestamptz := jobledger.now();
  v_tenant text := case p_scope when 'tenant' then p_name else '_global' end;
  v_id uuid := jobledger.control_id(v_tenant, 'limit:' || p_scope, p_name);
  v_head int;
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if p_scope is null or p_scope not in ('tenant', 'queue', 'kind', 'service') or (p_scope = 'service') <> (coalesce(p_name, '') = '') or (p_scope <> 'service' and not jobledger.is_name(p_name)) then
    perform jobledger.refuse('JL101', 'A limit belongs to a tenant, queue or kind by name, or to the service (name '''').', 'Nothing was changed; mend the call.');
  end if;
  if p_scope = 'tenant' and not jobledger.may(p_name) then
    perform jobledger.refuse('JL400', 'This role may not act for that tenant.', 'Ask the owner for a row in jobledger.grants (role, tenant).');
  elsif p_scope <> 'tenant' and not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'This role may not act for every tenant.', 'Ask the owner for membership in jobledger_every_tenant.');
  end if;
  insert into jobledger.limits as l (id, head, shard, scope, name, changed_at)
  select v_id, 0, p_shard, p_scope, coalesce(p_name, ''), v_now where p_paused is distinct from false on conflict do nothing;
  update jobledger.limits as l set head = l.head + 1, changed_at = v_now, changed_by = p_actor, reason = p_reason, paused = coalesce(p_paused, l.paused),
    max_attempts = case when p_set ? 'max_attempts' then (p_set ->> 'max_attempts')::int else l.max_attempts end,
    timeout = case when p_set ? 'timeout' then (p_set ->> 'timeout')::int else l.timeout end,
    kill_after = case when p_set ? 'kill_after' then (p_set ->> 'kill_after')::bigint else l.kill_after end,
    args_limit = case when p_set ? 'args_limit' then (p_set ->> 'args_limit')::int else l.args_limit end,
    result_limit = case when p_set ? 'result_limit' then (p_set ->> 'result_limit')::int else l.result_limit end
  where l.shard = p_shard and l.scope = p_scope and l.name = coalesce(p_name, '') and (p_paused is null or l.paused <> p_paused)
  returning l.head into v_head;
  if not found then
    return false;
  end if;
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
  values (nextval('jobledger.position'), pg_current_xact_id(), v_now, v_id, v_head,
    (case p_scope when 'service' then 'store' else p_scope end || '.' || p_type)::jobledger.event_type, p_shard, v_tenant, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', p_name, 'reason', p_reason)) || case when p_set is not null then jsonb_build_object('set', p_set) else '{}' end);
  return true;
end
$$;
