-- May this worker claim now: the database is open, the worker known (and the caller's), its lease not over. Returns the tenants it may serve (null: every one).
create or replace function jobledger.may_claim(p_shard smallint, p_worker uuid, p_now timestamptz) returns text[]
language plpgsql stable
as $$
declare
  v_worker record;
begin
  perform jobledger.must_be_open(p_shard);
  select w.lease_until, w.tenants, w.stopped_at into v_worker from jobledger.workers as w where w.shard = p_shard and w.id = p_worker;
  if not found or not jobledger.worker_is_mine(p_shard, p_worker) then
    perform jobledger.refuse('JL504', 'No worker of this id is registered.', 'Start it with jobledger.worker_start().');
  end if;
  if v_worker.stopped_at is not null or v_worker.lease_until <= p_now then
    perform jobledger.refuse('JL503', 'The worker''s lease has run out.', 'Start again under a new id.');
  end if;
  return jobledger.worker_tenants(v_worker.tenants);
end
$$;
