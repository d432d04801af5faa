-- Say that the live tables are not to be trusted: everything but enqueue is refused until they are rebuilt. First step of a deliberate rebuild; commit it.
-- The queue snapshot was copied from them, so it goes, too; one that is being taken is waited for.
drop function if exists jobledger.close;

create function jobledger.close(p_shard smallint default 0) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtext('jobledger.snapshot'), p_shard::int);
  delete from jobledger.live where shard = p_shard;
  delete from jobledger.queue_snapshots where shard = p_shard;
end
$$;
