-- Take a key back. True: it was taken back now; false: it was before. With tenants, or an owner, only a key of no others is found (see key_list).
-- Race: of two that revoke it at once the second waits for the row, and finds it revoked.
drop function if exists jobledger.key_revoke;

create function jobledger.key_revoke(p_shard smallint, p_id uuid, p_tenants text[] default null, p_owner text default null, p_actor text default null, p_reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_key jobledger.keys;
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Keys are revoked by who sees every tenant.', 'Ask the service, whose administrators'' keys revoke those of their own tenants.');
  end if;
  select * into v_key from jobledger.keys as k
  where k.shard = p_shard and k.id = p_id and (p_tenants is null or k.tenants <@ p_tenants) and (p_owner is null or k.owner = p_owner) for update;
  if v_key.id is null then
    perform jobledger.refuse('JL300', 'There is no such key.', 'Look at the list of keys.');
  end if;
  if v_key.revoked_at is not null then
    return false;
  end if;
  update jobledger.keys as k set revoked_at = v_now where k.shard = p_shard and k.id = p_id;
  perform jobledger.append_control(p_shard, case when cardinality(v_key.tenants) = 1 then v_key.tenants[1] else '_global' end, 'key', v_key.id::text, 'key.revoked', v_now, p_actor,
    jsonb_strip_nulls(jsonb_build_object('name', v_key.name, 'reason', p_reason)));
  return true;
end
$$;
