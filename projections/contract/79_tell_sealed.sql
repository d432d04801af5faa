-- Does anybody listen for sealed blocks? If so, and `p_sealed`, they are told that there is one: one NOTIFY. Called by sealers, whose connection carries no work, after the seal is
-- committed: NOTIFY takes a lock of the whole cluster at commit, which is then held for no longer than that of an empty transaction. Null for a role that is bound to tenants.
drop function if exists jobledger.tell_sealed;

create function jobledger.tell_sealed(p_shard smallint default 0, p_sealed boolean default true) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_followed boolean := not pg_try_advisory_xact_lock(hashtext('jobledger.follow'), p_shard::int);
begin
  perform jobledger.check_words(p_shard, null, null);
  if v_followed and p_sealed then
    perform pg_notify(c.name || '_sealed', '') from jobledger.channels as c where c.shard = p_shard;
  end if;
  return case when jobledger.every_tenant() then v_followed end;
end
$$;
