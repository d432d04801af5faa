-- Move scheduled jobs whose time has come to `ready`, or, when a pause holds them, only change their reason. A move of place is no event.
-- `is true` keeps the primary key away, by which every scheduled job would be read.
create or replace function jobledger.promote(p_shard smallint, p_now timestamptz, p_most int) returns int
language plpgsql
as $$
declare
  v_due int;
begin
  with due as materialized (
    select w.ctid as place, w.*,
      case when exists (select from jobledger.limits as l where l.shard = p_shard and l.paused) then jobledger.hold_reason(p_shard, w.tenant, w.queue, w.kind) end as held
    from jobledger.waiting as w
    where (w.shard = p_shard) is true and w.state = 'scheduled' and w.wake_at <= p_now order by w.wake_at limit p_most for update skip locked
  ), kept as (
    update jobledger.waiting as w set state = 'ready', wake_at = null, reason = d.held from due as d where w.ctid = d.place and d.held is not null
  ), gone as (
    delete from jobledger.waiting as w where w.ctid = any (array(select d.place from due as d where d.held is null))
  ), placed as (
    insert into jobledger.ready (id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key)
    select id, run_at, kill_at, head, timeout, shard, priority, attempt, max_attempts, releases, tenant, queue, kind, owner, unique_key from due where held is null
  )
  select count(*)::int into v_due from due;
  return v_due;
end
$$;
