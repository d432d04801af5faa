-- The channel on which readers are told that a block was sealed, to LISTEN on over a connection that keeps its session: from now on that session says, by a shared advisory lock,
-- that somebody listens. Null for a role that is bound to tenants: it would hear when others do something.
drop function if exists jobledger.follow_channel;

create function jobledger.follow_channel(p_shard smallint default 0) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text := jobledger.channel(p_shard);
begin
  if v_name is not null then
    perform pg_advisory_lock_shared(hashtext('jobledger.follow'), p_shard::int);
  end if;
  return v_name || '_sealed';
end
$$;
