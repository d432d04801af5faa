-- Take the queue snapshot if it is due (`tick` says so): its own transaction, since it may take a second where a million jobs are open, and nobody waits for it.
-- A caller bound to tenants is not told whether it was.
drop function if exists jobledger.queue_snapshot;

create function jobledger.queue_snapshot(p_shard smallint default 0) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_taken boolean;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.must_be_open(p_shard);
  v_taken := jobledger.snapshot_due(p_shard) and jobledger.copy_queue(p_shard);
  return case when jobledger.every_tenant() then v_taken else false end;
end
$$;
