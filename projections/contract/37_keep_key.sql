-- Take an idempotency key for a new job (returns null), or return the id of the job that took it before.
-- The loser of a race waits at the primary key and reads in a second statement; a REPEATABLE READ caller may see 40001 there.
-- An expired key is replaced in the same statement; the same key with other content is an error.
create or replace function jobledger.keep_key(p_shard smallint, p_tenant text, p_key text, p_id uuid, p_now timestamptz, p_hash bytea) returns uuid
language plpgsql
as $$
declare
  v_kept jobledger.idempotency;
begin
  insert into jobledger.idempotency as i (id, expires, shard, tenant, key, hash)
  values (p_id, p_now + interval '24 hours', p_shard, p_tenant, p_key, p_hash)
  on conflict (shard, tenant, key) do update set id = excluded.id, expires = excluded.expires, hash = excluded.hash where i.expires <= p_now;
  if found then
    return null;
  end if;
  select * into v_kept from jobledger.idempotency as i where i.shard = p_shard and i.tenant = p_tenant and i.key = p_key;
  if v_kept.hash is distinct from p_hash then
    perform jobledger.refuse('JL202', 'The idempotency key was used before with other content.', 'Use a new key for a new request.', jsonb_build_object('job', v_kept.id));
  end if;
  return v_kept.id;
end
$$;
