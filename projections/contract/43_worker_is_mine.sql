-- May this caller speak for that worker? A worker belongs to the role that registered it (the actor of its `worker.started`); who may see every tenant may speak for all.
-- For anybody else it answers like a worker that nobody registered. Only a role bound to tenants pays the look into the log.
create or replace function jobledger.worker_is_mine(p_shard smallint, p_worker uuid) returns boolean
language plpgsql stable
as $$
begin
  return jobledger.every_tenant() or exists (select from jobledger.events as e
    where e.shard = p_shard and e.stream_id = p_worker and e.version = 1 and e.type = 'worker.started' and e.actor = jobledger.caller());
end
$$;
