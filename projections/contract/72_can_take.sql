-- Can a live worker take a job of this queue, tenant and kind (null kind: any kind)? By what each worker was started with, while its lease lasts.
create or replace function jobledger.can_take(p_shard smallint, p_queue text, p_tenant text, p_kind text, p_now timestamptz) returns boolean
language sql stable
as $$
  select exists (select from jobledger.workers as w where w.shard = p_shard and w.stopped_at is null and w.lease_until > p_now
    and (w.queues is null or w.queues ? p_queue) and (w.tenants is null or p_tenant = any (w.tenants)) and (p_kind is null or p_kind = any (w.kinds)))
$$;
