-- The commonest batch of reports: every job succeeded, under a claim of the same version, and none has anything to say. What `report` does to it, without judging each.
-- Returns the jobs taken, ascending; what is missing among them is judged by `report`. Races: as there; a row locked in a newer version than this statement's
-- snapshot sees is taken away by the second statement. Plans: the caller's settings hold; `is true` keeps
-- the index of workers out of it, which reads all that the worker runs.
create or replace function jobledger.report_successes(p_shard smallint, p_worker uuid, p_owner uuid, p_ids uuid[], p_claim int, p_tenants text[], p_now timestamptz) returns uuid[]
language plpgsql
as $$
declare
  v_low uuid := p_ids[1];
  v_high uuid := p_ids[cardinality(p_ids)];
  v_ids uuid[];
  v_keyed uuid[];
  v_seen int;
begin
  with locked as materialized (
    select r.ctid as place, r.id, r.head, r.shard, r.priority, r.attempt, r.max_attempts, r.tenant, r.queue, r.kind, r.owner, r.unique_key
    from jobledger.running as r
    where r.shard = p_shard and r.id = any (p_ids) and r.id >= v_low and r.id <= v_high and (r.worker = p_owner) is true and r.claim = p_claim and (p_tenants is null or r.tenant = any (p_tenants))
    order by r.id for update
  ), gone as (
    delete from jobledger.running as r where r.ctid = any (array(select l.place from locked as l)) returning 1
  ), ended as (
    insert into jobledger.finished (id, finished_at, head, state, shard, priority, attempt, max_attempts, tenant, queue, kind, owner)
    select l.id, p_now, l.head + 1, 'succeeded', l.shard, l.priority, l.attempt, l.max_attempts, l.tenant, l.queue, l.kind, l.owner from locked as l
  ), logged as (
    insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant)
    select nextval('jobledger.position'), pg_current_xact_id(), p_now, l.id, l.head + 1, 'job.succeeded', l.shard, l.attempt, p_worker, l.tenant from locked as l
  )
  select array_agg(l.id), array_agg(l.id) filter (where l.unique_key is not null), (select count(*) from gone) into v_ids, v_keyed, v_seen from locked as l;
  if v_seen < cardinality(v_ids) then
    delete from jobledger.running as r where r.shard = p_shard and r.id = any (v_ids) and r.worker = p_owner and r.claim = p_claim;
  end if;
  if v_keyed is not null then
    perform jobledger.release_unique_keys(p_shard, v_keyed);
  end if;
  return v_ids;
end
$$;
