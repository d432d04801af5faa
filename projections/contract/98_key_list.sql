-- The keys by age, oldest first, after one of that id: all, or those of no other tenants (and, with an owner, of that owner only). Revoked and expired ones only where asked for.
drop function if exists jobledger.key_list;

create function jobledger.key_list(
  p_shard smallint, p_tenants text[] default null, p_owner text default null, p_ended boolean default false, p_after uuid default null, p_limit int default 100
) returns table (
  id uuid, name text, prefix text, roles text[], tenants text[], owner text, rate int, created_at timestamptz, created_by text, expires_at timestamptz, revoked_at timestamptz, last_used timestamptz
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Keys are listed by who sees every tenant.', 'Ask the service, which shows a tenant its own.');
  end if;
  if coalesce(p_limit not between 1 and 1000, true) then
    perform jobledger.refuse('JL101', 'A page has 1 to 1000 keys.', 'Mend the call.');
  end if;
  return query
  select k.id, k.name, k.prefix, k.roles, k.tenants, k.owner, k.rate, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.last_used from jobledger.keys as k
  where k.shard = p_shard and (p_after is null or k.id > p_after) and (p_tenants is null or k.tenants <@ p_tenants) and (p_owner is null or k.owner = p_owner)
    and (coalesce(p_ended, false) or (k.revoked_at is null and (k.expires_at is null or k.expires_at > v_now)))
  order by k.id limit p_limit;
end
$$;
