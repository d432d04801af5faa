-- Give up a retired partition, second step: delete a batch of its finished jobs, idempotency keys, unique keys and workers; returns how many rows, 0 when none is left that is not
-- locked. SKIP LOCKED: a job that is being retried this moment is left, and then keeps the partition. Idempotency keys last a day, so those of an old month are found by their expiry.
create or replace function jobledger.retire_rows(p_shard smallint, p_name text, p_most int) returns int
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  r jobledger.retired;
  v_count int;
  v_rows int := 0;
begin
  select * into r from jobledger.retired as t where t.shard = p_shard and t.name = p_name and t.dropped_at is null;
  if not found then
    return 0;
  end if;
  delete from jobledger.finished as f where f.ctid = any (array(
    select x.ctid from jobledger.finished as x where x.shard = p_shard and x.id >= r.lower and x.id < r.upper order by x.id limit p_most for update skip locked));
  get diagnostics v_rows = row_count;
  if v_rows = 0 then
    delete from jobledger.idempotency as i where i.ctid = any (array(
      select x.ctid from jobledger.idempotency as x where x.expires <= jobledger.time_of(r.upper) + interval '25 hours' and x.shard = p_shard and x.id >= r.lower and x.id < r.upper
      limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
    delete from jobledger.unique_keys as u where u.ctid = any (array(
      select x.ctid from jobledger.unique_keys as x where x.shard = p_shard and x.id >= r.lower and x.id < r.upper limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
    delete from jobledger.workers as w where w.ctid = any (array(
      select x.ctid from jobledger.workers as x where x.shard = p_shard and x.id >= r.lower and x.id < r.upper and (x.stopped_at is not null or x.lease_until <= jobledger.now())
        and not exists (select from jobledger.running as g where g.worker = x.id) limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    v_rows := v_rows + v_count;
  end if;
  update jobledger.retired as t set rows = t.rows + v_rows where t.shard = p_shard and t.name = p_name and v_rows > 0;
  return v_rows;
end
$$;
