-- Move ready jobs that no live worker has been able to take for 60 s out of the lanes, to `waiting` with the reason no_worker_for_kind; `unhold` brings them back.
-- Looks at the head of 32 lanes a call, from that of a random job on (of some eight pages of the table): what nobody can take comes to stand at the head. A queue and tenant that no worker serves at all is
-- left alone: nothing is in anybody's way there, and its jobs are claimed at once when a worker comes.
-- Plans: no sort, so the lane index is walked in its order, and never the whole queue by its primary key.
create or replace function jobledger.hold_untakeable(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql set enable_sort = off set enable_bitmapscan = off
as $$
declare
  v_head record;
  v_some int;
  v_all int := 0;
begin
  select s.queue, s.tenant into v_head from (
    select r.queue, r.tenant from jobledger.ready as r tablesample system (least(100, 800.0 * current_setting('block_size')::int / greatest(1, pg_relation_size('jobledger.ready'))))
  ) as s order by random() limit 1;
  select r.queue, r.tenant, r.priority, r.run_at, r.kind into v_head from jobledger.ready as r where (r.queue, r.tenant) >= (coalesce(v_head.queue, ''), coalesce(v_head.tenant, ''))
  order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 1;
  for v_turn in 1 .. 32 loop
    exit when v_head.queue is null or v_all >= p_most;
    if v_head.run_at < p_now - interval '60 seconds' and not jobledger.can_take(p_shard, v_head.queue, v_head.tenant, v_head.kind, p_now)
        and jobledger.can_take(p_shard, v_head.queue, v_head.tenant, null, p_now) then
      with held as materialized (
        select r.ctid as place, r.* from jobledger.ready as r
        where (r.shard = p_shard) is true and r.queue = v_head.queue and r.tenant = v_head.tenant and r.priority = v_head.priority and r.kind = v_head.kind
          and r.run_at < p_now - interval '60 seconds'
        order by r.queue, r.tenant, r.priority, r.run_at, r.id limit p_most - v_all for update skip locked
      ), gone as (
        delete from jobledger.ready as r where r.ctid = any (array(select h.place from held as h))
      ), kept as (
        insert into jobledger.waiting (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, state, reason)
        select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key, 'ready', 'no_worker_for_kind' from held
      )
      select count(*) into v_some from held;
      v_all := v_all + v_some;
    end if;
    select r.queue, r.tenant, r.priority, r.run_at, r.kind into v_head from jobledger.ready as r
    where (r.queue, r.tenant, r.priority) > (v_head.queue, v_head.tenant, v_head.priority)
    order by r.queue, r.tenant, r.priority, r.run_at, r.id limit 1;
  end loop;
  return v_all;
end
$$;
