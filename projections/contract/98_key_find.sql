-- The key of a hash, or (for the tokens made with it) of an id, as long as it counts: none that was revoked, or whose time is over. `at` is the clock of the answer, there in any case.
drop function if exists jobledger.key_find;

create function jobledger.key_find(p_shard smallint, p_hash bytea default null, p_id uuid default null)
returns table (at timestamptz, id uuid, name text, roles text[], tenants text[], owner text, rate int, expires_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Keys are looked up by who sees every tenant.', 'Ask the service.');
  end if;
  if num_nonnulls(p_hash, p_id) <> 1 then
    perform jobledger.refuse('JL101', 'A key is found by its hash or by its id.', 'Mend the call.');
  end if;
  if p_hash is not null then
    return query
    select n.at, k.id, k.name, k.roles, k.tenants, k.owner, k.rate, k.expires_at from (select jobledger.now() as at) as n
    left join jobledger.keys as k on k.shard = p_shard and k.hash = p_hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > n.at);
  else
    return query
    select n.at, k.id, k.name, k.roles, k.tenants, k.owner, k.rate, k.expires_at from (select jobledger.now() as at) as n
    left join jobledger.keys as k on k.shard = p_shard and k.id = p_id and k.revoked_at is null and (k.expires_at is null or k.expires_at > n.at);
  end if;
end
$$;
