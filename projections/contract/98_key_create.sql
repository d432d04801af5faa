-- Keep a new key, by the hash of it; what it may is checked by who calls against what the caller itself may.
-- `p_tenants` null: of every tenant. A key of one owner is of one tenant. There are 100,000 keys that count at most.
drop function if exists jobledger.key_create;

create function jobledger.key_create(
  p_shard smallint, p_hash bytea, p_prefix text, p_name text, p_roles text[], p_tenants text[] default null, p_owner text default null, p_rate int default null,
  p_expires_at timestamptz default null, p_actor text default null, p_reason text default null
) returns table (id uuid, created_at timestamptz)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_id uuid := jobledger.new_id(v_now);
  v_tenants text[] := (select array_agg(distinct t collate "C" order by t collate "C") from unnest(p_tenants) as t);
  v_roles text[] := (select coalesce(array_agg(distinct r collate "C" order by r collate "C"), '{}') from unnest(p_roles) as r);
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Keys are made by who sees every tenant.', 'Ask the service, whose administrators'' keys make keys of their own tenants.');
  end if;
  if coalesce(length(p_hash), 0) <> 32 or coalesce(p_prefix !~ '^jl_[A-Za-z0-9_-]{8}$', true) or not jobledger.is_name(p_name) then
    perform jobledger.refuse('JL101', 'A key''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begins with a letter or digit; its hash has 32 bytes.', 'Nothing was changed; mend the call.');
  end if;
  if p_roles is null or exists (select from unnest(p_roles) as r where r is null or r not in ('enqueue', 'work', 'read', 'operate', 'admin')) then
    perform jobledger.refuse('JL101', 'The roles of a key are enqueue, work, read, operate and admin.', 'Nothing was changed; mend the call.');
  end if;
  if p_tenants is not null and (cardinality(p_tenants) not between 1 and 100 or exists (select from unnest(p_tenants) as t where not jobledger.is_name(t) or t ~ '^_')) then
    perform jobledger.refuse('JL101', 'A key is of 1 to 100 tenants, or of every one.', 'Nothing was changed; mend the call.');
  end if;
  if p_owner is not null and (length(p_owner) not between 1 and 256 or coalesce(cardinality(v_tenants), 0) <> 1) then
    perform jobledger.refuse('JL101', 'A key of one owner is of one tenant; the owner has 1 to 256 characters.', 'Nothing was changed; mend the call.');
  end if;
  if p_rate not between 1 and 1000000 or p_expires_at <= v_now or not isfinite(p_expires_at) or p_expires_at >= '4000-01-01' then
    perform jobledger.refuse('JL101', 'A key''s rate is 1 to 1000000 requests a second, and its end lies ahead, before the year 4000.', 'Nothing was changed; mend the call.');
  end if;
  if (select count(*) from jobledger.keys as k where k.shard = p_shard and k.revoked_at is null and (k.expires_at is null or k.expires_at > v_now)) >= 100000 then
    perform jobledger.refuse('JL101', 'There are 100000 keys at most.', 'Revoke those that nobody needs; give browsers tokens.');
  end if;
  insert into jobledger.keys (id, created_at, expires_at, rate, shard, name, prefix, owner, roles, tenants, hash, created_by)
  values (v_id, v_now, p_expires_at, p_rate, p_shard, p_name, p_prefix, p_owner, v_roles, v_tenants, p_hash, p_actor);
  perform jobledger.append_control(p_shard, case when cardinality(v_tenants) = 1 then v_tenants[1] else '_global' end, 'key', v_id::text, 'key.created', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', p_name, 'prefix', p_prefix, 'roles', nullif(v_roles, '{}'), 'tenants', v_tenants, 'owner', p_owner, 'rate', p_rate, 'expires_at', p_expires_at,
      'reason', p_reason)));
  return query select v_id, v_now;
end
$$;
