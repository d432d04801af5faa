-- The commonest batch of reports: every job succeeded, under a claim of the same version, and none has anything to say. What `report` does to it, without judging each, from Postgres 17 on.
-- Returns the jobs taken, ascending; what is missing among them is judged by `report`. Races: the rows are taken away, and so locked, in the order of their ids, which
-- is that of the index they are found by (an array is read in its order); a row that a progress report is changing is waited for and taken in its new version.
-- Plans: the caller's settings hold; `is true` keeps the index of workers out of it, which reads all that the worker runs.
create or replace function jobledger.report_successes(p_shard smallint, p_worker uuid, p_owner uuid, p_ids uuid[], p_claim int, p_tenants text[], p_now timestamptz) returns uuid[]
language plpgsql
as $$
declare
  v_low uuid := p_ids[1];
  v_high uuid := p_ids[cardinality(p_ids)];
  v_ids uuid[];
  v_keyed uuid[];
begin
  with gone as (
    delete from jobledger.running as r
    where r.shard = p_shard and r.id = any (p_ids) and r.id >= v_low and r.id <= v_high and (r.worker = p_owner) is true and r.claim = p_claim and (p_tenants is null or r.tenant = any (p_tenants))
    returning r.id, r.unique_key, r.head, r.shard, r.attempt, r.tenant, r.priority, r.max_attempts, r.queue, r.kind, r.owner
  ), ended as (
    insert into jobledger.finished (id, finished_at, head, state, shard, priority, attempt, max_attempts, tenant, queue, kind, owner)
    select g.id, p_now, g.head + 1, 'succeeded', g.shard, g.priority, g.attempt, g.max_attempts, g.tenant, g.queue, g.kind, g.owner from gone as g
  ), logged as (
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant)
    select nextval('jobledger.position'), pg_current_xact_id(), p_now, g.id, g.head + 1, 'job.succeeded', g.shard, g.attempt, p_worker, g.tenant from gone as g
  )
  select array_agg(g.id), array_agg(g.id) filter (where g.unique_key is not null) into v_ids, v_keyed from gone as g;
  if v_keyed is not null then
    perform jobledger.release_unique_keys(p_shard, v_keyed);
  end if;
  return v_ids;
end
$$;
