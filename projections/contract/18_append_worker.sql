-- One event to a worker's stream, whose row the caller has locked or is about to lock (workers come last in the lock order). False: no such worker.
create or replace function jobledger.append_worker(p_shard smallint, p_worker uuid, p_type jobledger.event_type, p_at timestamptz, p_actor text, p_data jsonb) returns boolean
language plpgsql
as $$
declare
  v_head int;
begin
  update jobledger.workers as w set head = w.head + 1 where w.shard = p_shard and w.id = p_worker returning w.head into v_head;
  if not found then
    return false;
  end if;
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, worker, tenant, actor, data)
  values (nextval('jobledger.position'), pg_current_xact_id(), p_at, p_worker, v_head, p_type, p_shard, p_worker, '_global', p_actor, p_data);
  return true;
end
$$;
