-- Say that the live tables are not to be trusted: everything but enqueue is refused until they are rebuilt. First step of a deliberate rebuild; commit it.
drop function if exists jobledger.close;

create function jobledger.close(p_shard smallint default 0) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  delete from jobledger.live where shard = p_shard
$$;
