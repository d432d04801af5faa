-- Tell idle workers that jobs are due: by a NOTIFY without words, so that a transaction sends one for however many. A null queue, tenant or kind means any.
-- The first job that a transaction makes, if it is alone in its call, is named (p_job), with its tenant, queue and kind: the worker need not look for it, and knows whether it is for
-- others. Those that follow are not, so two NOTIFYs are the most.
-- Only when a live worker that could take the job says that it waits (jobledger.idle): NOTIFY takes a lock of the whole cluster at commit, so a busy system sends none.
-- It breaks PREPARE TRANSACTION: who prepares says `set local jobledger.notify = 'off'`. Race: a worker may raise its flag after this look; then its own timer finds the job.
-- Volatile, so that the look has a snapshot of its own.
drop function if exists jobledger.hint;

create function jobledger.hint(p_shard smallint, p_queue text, p_tenant text, p_kind text, p_job uuid default null) returns void
language plpgsql volatile
as $$
begin
  if current_setting('jobledger.notify', true) is distinct from 'off' and exists (
    select from jobledger.idle as i join jobledger.workers as w on w.shard = i.shard and w.id = i.worker
    where i.shard = p_shard and w.stopped_at is null and w.lease_until > jobledger.now() and (p_queue is null or w.queues is null or w.queues ? p_queue)
      and (p_tenant is null or w.tenants is null or p_tenant = any (w.tenants)) and (p_kind is null or p_kind = any (w.kinds))
  ) then
    perform pg_notify(c.name, case when p_job is null then '' else concat_ws(' ', p_job, p_tenant, p_queue, p_kind) end) from jobledger.channels as c where c.shard = p_shard;
  end if;
end
$$;
