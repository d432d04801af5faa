-- Which of these keys count: neither revoked nor over. Asked once a second by a service, for the streams that are open with them.
drop function if exists jobledger.key_standing;

create function jobledger.key_standing(p_shard smallint, p_ids uuid[]) returns uuid[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Keys are looked up by who sees every tenant.', 'Ask the service.');
  end if;
  if p_ids is null or cardinality(p_ids) > 100000 then
    perform jobledger.refuse('JL101', 'There are 100000 keys at most.', 'Mend the call.');
  end if;
  return array(select k.id from jobledger.keys as k
    where k.shard = p_shard and k.id = any (p_ids) and k.revoked_at is null and (k.expires_at is null or k.expires_at > jobledger.now()));
end
$$;
