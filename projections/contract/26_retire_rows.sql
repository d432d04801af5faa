-- Give up a retired partition, second step: delete a batch of its finished jobs after `p_after`, and when none is left its idempotency keys, unique keys, rejected reports and workers. Answers how many rows
-- went, and where the next call goes on among the finished jobs: a batch never reads again what those before it deleted. Nothing went: what is left is locked.
-- SKIP LOCKED: a job that is being retried this moment is left, and then keeps the partition. Idempotency keys last a day, so those of an old month are found by their expiry.
drop function if exists jobledger.retire_rows;

create function jobledger.retire_rows(p_shard smallint, p_name text, p_after uuid, p_most int, out gone int, out next uuid)
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
declare
  r jobledger.retired;
  v_count int;
begin
  gone := 0;
  select * into r from jobledger.retired as t where t.shard = p_shard and t.name = p_name and t.dropped_at is null;
  if not found then
    return;
  end if;
  with batch as materialized (
    select x.ctid as place, x.id from jobledger.finished as x where x.shard = p_shard and x.id >= coalesce(p_after, r.lower) and x.id < r.upper order by x.shard, x.id limit p_most for update skip locked
  ), deleted as (
    delete from jobledger.finished as f where f.ctid = any (array(select b.place from batch as b))
  )
  select count(*), max(b.id::text)::uuid into gone, next from batch as b;
  if gone = 0 then
    delete from jobledger.idempotency as i where i.ctid = any (array(
      select x.ctid from jobledger.idempotency as x where x.expires <= jobledger.time_of(r.upper) + interval '25 hours' and x.shard = p_shard and x.id >= r.lower and x.id < r.upper
      limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    gone := gone + v_count;
    delete from jobledger.unique_keys as u where u.ctid = any (array(
      select x.ctid from jobledger.unique_keys as x where x.shard = p_shard and x.id >= r.lower and x.id < r.upper limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    gone := gone + v_count;
    delete from jobledger.rejected_reports as j where j.ctid = any (array(
      select x.ctid from jobledger.rejected_reports as x where x.shard = p_shard and x.job >= r.lower and x.job < r.upper limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    gone := gone + v_count;
    delete from jobledger.workers as w where w.ctid = any (array(
      select x.ctid from jobledger.workers as x where x.shard = p_shard and x.id >= r.lower and x.id < r.upper and (x.stopped_at is not null or x.lease_until <= jobledger.now())
        and not exists (select from jobledger.running as g where g.worker = x.id) limit p_most for update skip locked));
    get diagnostics v_count = row_count;
    gone := gone + v_count;
    next := p_after;
  end if;
  update jobledger.retired as t set rows = t.rows + gone where t.shard = p_shard and t.name = p_name and gone > 0;
end
$$;
