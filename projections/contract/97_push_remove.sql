-- Deliver a queue's jobs no more, of one tenant or (null) where it was for every one; they wait for a worker. A push that the caller may not see is none.
drop function if exists jobledger.push_remove;

create function jobledger.push_remove(p_shard smallint, p_queue text, p_tenant text, p_actor text default null, p_reason text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant text := coalesce(p_tenant, '_global');
begin
  perform jobledger.check_words(p_shard, p_actor, p_reason);
  delete from jobledger.pushes as p where p.shard = p_shard and p.queue = p_queue and p.tenant = v_tenant
    and (jobledger.every_tenant() or p.tenant = any (jobledger.my_tenants()));
  if not found then
    perform jobledger.refuse('JL300', 'This queue is not delivered to an endpoint.', 'Look at the list of pushes.');
  end if;
  perform jobledger.append_control(p_shard, v_tenant, 'push', p_queue, 'queue.push_removed', jobledger.now(), p_actor, jsonb_strip_nulls(jsonb_build_object('name', p_queue, 'reason', p_reason)));
end
$$;
