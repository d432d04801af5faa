-- A worker says that it has ended (another role's worker is unknown, see worker_is_mine). Its lease ends now, so what it still holds is rescued at the next tick.
drop function if exists jobledger.worker_stop;

create function jobledger.worker_stop(p_shard smallint, p_worker uuid, p_reason text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_words(p_shard, null, p_reason);
  if not jobledger.worker_is_mine(p_shard, p_worker) or not jobledger.append_worker(p_shard, p_worker, 'worker.stopped', v_now, null, jsonb_strip_nulls(jsonb_build_object('reason', p_reason))) then
    perform jobledger.refuse('JL504', 'No worker of this id is registered.', 'Start it with jobledger.worker_start().');
  end if;
  update jobledger.workers as w set stopped_at = coalesce(w.stopped_at, v_now), lease_until = least(w.lease_until, v_now) where w.shard = p_shard and w.id = p_worker;
  delete from jobledger.idle as i where i.shard = p_shard and i.worker = p_worker;
end
$$;
