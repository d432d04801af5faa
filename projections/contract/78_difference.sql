-- What two snapshots differ by, above the epoch's floor: as parts of at most 10,000 events, cut by position (never by transaction id, which would turn a job's own events
-- round), each (last position, count, first position, first id, last id). Found by the index on `xid`, whatever the planner believes: the ids that `since` had not given yet,
-- and the `late` ones that it saw in progress and that have committed. One scan for what fits one part,
-- with neither sort nor window, which took half of the time; one more for what is cut.
-- The shard is compared so that no index has it: a plan made while the log was empty took the primary key for it, and read the whole log each time.
create or replace function jobledger.difference(p_shard smallint, p_since pg_snapshot, p_snapshot pg_snapshot, p_late xid8[], p_floor bigint) returns bigint[]
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off set work_mem = '64MB' set plan_cache_mode = force_generic_plan
as $$
declare
  v_from xid8 := pg_snapshot_xmax(p_since);
  v_to xid8 := pg_snapshot_xmax(p_snapshot);
  v_cut bigint[];
begin
  select array[max(d.position), count(*), min(d.position), coalesce((min(d.xid) filter (where d.xid >= v_from))::text::bigint, 0), coalesce((max(d.xid) filter (where d.xid >= v_from))::text::bigint, 0)]
  into v_cut from (
    select e.position, e.xid from jobledger.events as e
    where e.xid >= v_from and e.xid < v_to and e.shard + 0 = p_shard and e.position > p_floor and pg_visible_in_snapshot(e.xid, p_snapshot)
    union all
    select e.position, e.xid from jobledger.events as e where e.xid = any (p_late) and e.shard + 0 = p_shard and e.position > p_floor
  ) as d;
  if v_cut[2] <= 10000 then
    return case when v_cut[2] > 0 then array[v_cut] end;
  end if;
  return (
    select array_agg(array[c.last_position, c.count, c.first_position, c.first_xid, c.last_xid] order by c.part) from (
      select f.part, max(f.position) as last_position, count(*) as count, min(f.position) as first_position,
        coalesce((min(f.xid) filter (where f.xid >= v_from))::text::bigint, 0) as first_xid, coalesce((max(f.xid) filter (where f.xid >= v_from))::text::bigint, 0) as last_xid
      from (
        select d.position, d.xid, (row_number() over (order by d.position) - 1) / 10000 as part from (
          select e.position, e.xid from jobledger.events as e
          where e.xid >= v_from and e.xid < v_to and e.shard + 0 = p_shard and e.position > p_floor and pg_visible_in_snapshot(e.xid, p_snapshot)
          union all
          select e.position, e.xid from jobledger.events as e where e.xid = any (p_late) and e.shard + 0 = p_shard and e.position > p_floor
        ) as d
      ) as f group by f.part
    ) as c
  );
end
$$;
