-- The channel on which idle workers are told that a job came, to LISTEN on over a connection that keeps its session. Null for a role that is bound to tenants: it would hear
-- when others enqueue, so its workers poll.
drop function if exists jobledger.channel;

create function jobledger.channel(p_shard smallint default 0) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    return null;
  end if;
  insert into jobledger.channels (shard) select p_shard where not exists (select from jobledger.channels as c where c.shard = p_shard) on conflict do nothing;
  return (select c.name from jobledger.channels as c where c.shard = p_shard);
end
$$;
