-- Set defaults of a kind, queue, tenant, or of the service (name ''): max_attempts, timeout and kill_after (seconds), and for the service args_limit and result_limit
-- (bytes of JSON). A null value clears one. Binds jobs enqueued from now on.
drop function if exists jobledger.set_limit;

create function jobledger.set_limit(p_shard smallint, p_scope text, p_name text, p_set jsonb, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_known jsonb := '{"max_attempts": [1, 1000], "timeout": [1, 604800], "kill_after": [1, 6311520000], "args_limit": [1024, 67108864], "result_limit": [1024, 67108864]}';
begin
  if jsonb_typeof(p_set) is distinct from 'object' or p_set = '{}' then
    perform jobledger.refuse('JL101', 'set is an object of limits and their values.', 'Nothing was changed; mend the call.');
  end if;
  if exists (select from jsonb_each(p_set) as s where not v_known ? s.key or (s.key in ('args_limit', 'result_limit') and p_scope is distinct from 'service')
      or (jsonb_typeof(s.value) <> 'null' and (jsonb_typeof(s.value) <> 'number' or s.value::text !~ '^[0-9]{1,10}$'
        or not s.value::bigint between (v_known -> s.key ->> 0)::bigint and (v_known -> s.key ->> 1)::bigint))) then
    perform jobledger.refuse('JL101', 'The limits are max_attempts (1..1000), timeout (1..604800 s), kill_after (1..6311520000 s), and for the service args_limit and result_limit (1024..67108864 bytes).',
      'Nothing was changed; mend the call.');
  end if;
  return jobledger.change_limit(p_shard, p_scope, p_name, 'limited', null, p_set, p_actor, p_reason);
end
$$;
