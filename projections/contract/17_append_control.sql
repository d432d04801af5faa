-- One event to a control stream that has no row of its own (a queue, the store, an unknown worker); its head lies in `streams`.
create or replace function jobledger.append_control(p_shard smallint, p_tenant text, p_what text, p_name text, p_type jobledger.event_type, p_at timestamptz, p_actor text, p_data jsonb) returns void
language plpgsql
as $$
declare
  v_id uuid := jobledger.control_id(p_tenant, p_what, p_name);
  v_head int;
begin
  insert into jobledger.streams as t (id, head, shard) values (v_id, 1, p_shard)
  on conflict (shard, id) do update set head = t.head + 1
  returning t.head into v_head;
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, tenant, actor, data)
  values (nextval('jobledger.position'), pg_current_xact_id(), p_at, v_id, v_head, p_type, p_shard, p_tenant, p_actor, p_data);
end
$$;
