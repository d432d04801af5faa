-- Where the sealed events of one tenant, or of one job, lie after a place (epoch, block, position): the first `p_limit` of them in the order of the log, without reading
-- everybody's. Its jobs come from the live and finished tables, their events by primary key, the block of each by its transaction's id. With them the tenant's control events, and,
-- as candidates, what names many jobs: the heartbeats of each claim's worker from the claim until the claim's end was sealed, and rejected reports of its jobs.
-- A last row whose stream is null: everything up to its place was looked at; without it the limit was met. `named`: of a heartbeat, which of them it lists. A row may come twice where live tables are poisoned.
-- Refused with JL501 where a tenant's jobs cannot be told (see own_streams): then the blocks are to be read. One statement, so one snapshot: what is sealed in it is complete in it.
-- Plans: `is true` keeps primary keys away from the tables that are read by tenant: never analysed, all of them would be read.
-- A heartbeat lists a job whose row it saw as running, so it began before the claim's end was committed, and that was before the end was sealed; a clock that is set
-- back meanwhile is allowed five seconds.
drop function if exists jobledger.read_own;

create function jobledger.read_own(p_shard smallint, p_epoch int, p_block bigint, p_position bigint, p_limit int, p_tenant text, p_types text[] default null, p_job uuid default null)
returns table (block bigint, "position" bigint, epoch int, sealed_at timestamptz, stream_id uuid, version int, named uuid[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set enable_nestloop = off set enable_mergejoin = off
  set jit = off set work_mem = '64MB' set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  c_end constant bigint := 9223372036854775807;
  c_ends constant jobledger.event_type[] := '{job.succeeded,job.failed,job.lease_expired,job.snoozed,job.interrupted,job.released,job.parked,job.cancelled,job.killed,job.claimed}';
  v_types jobledger.event_type[] := case when p_types is not null then array(select t.t from unnest(enum_range(null::jobledger.event_type)) as t (t) where t.t::text = any (p_types)) end;
  v_tenant text := p_tenant;
  v_block bigint;
  v_got int;
  v_retiring boolean;
  h jobledger.horizon;
begin
  perform jobledger.check_words(p_shard, p_tenant, null);
  if p_epoch is null or p_block is null or p_position is null or p_limit is null or p_limit not between 1 and 100000 or least(p_epoch, p_block, p_position) < 0
      or (p_tenant is null and p_job is null) then
    perform jobledger.refuse('JL101', 'A place in the log is epoch, block and position, none below 0; 1 to 100000 of a tenant or a job are looked for.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  perform jobledger.check_place(p_shard, p_epoch, p_block, p_position);
  select x.* into h from jobledger.horizon as x where x.shard = p_shard;
  v_retiring := exists (select from jobledger.retired as x where x.shard = p_shard and x.dropped_at is null);
  -- A place in a block that was merged goes on in the block that stands for it.
  select x.block into v_block from jobledger.blocks as x where x.shard = p_shard and x.block >= p_block order by x.block limit 1;
  if p_job is not null then
    select e.tenant into v_tenant from jobledger.events as e where e.shard = p_shard and e.stream_id = p_job and e.version = 1;
  elsif jobledger.own_streams(p_shard, p_tenant, 1) is null then
    perform jobledger.refuse('JL501', 'The live tables do not tell all jobs of this tenant now.', 'Read the blocks.');
  end if;
  return query
  with reign as materialized (
    -- In which epoch an event was appended tells its position; above `hwm` nothing of an epoch that is over was sealed in it.
    select x.epoch, x.position_floor as low, coalesce(lead(x.position_floor) over w, c_end) as high, case when lead(x.epoch) over w is null then c_end else coalesce((
      select b.position_hwm from jobledger.blocks as b where b.shard = p_shard and b.epoch = x.epoch and pg_snapshot_xmax(b.snapshot) < c_end::text::xid8
      order by pg_snapshot_xmax(b.snapshot) desc, b.block desc limit 1), 0) end as hwm
    from jobledger.epochs as x where x.shard = p_shard window w as (order by x.epoch)
  ), job as (
    select p_job as id where p_job is not null
    union all select f.id from jobledger.finished as f where p_job is null and f.tenant = p_tenant and (f.shard = p_shard) is true
    union all select r.id from jobledger.ready as r where p_job is null and r.tenant = p_tenant and (r.shard = p_shard) is true
    union all select w.id from jobledger.waiting as w where p_job is null and w.tenant = p_tenant and (w.shard = p_shard) is true
    union all select r.id from jobledger.running as r where p_job is null and r.tenant = p_tenant and (r.shard = p_shard) is true
  ), claim as materialized (
    select j.id as job, c.worker, c.beat, c.at, coalesce(case when x.position <= x.hwm and b.first_position > x.low and pg_visible_in_snapshot(x.xid, b.snapshot) then b.sealed_at
      else (select y.sealed_at from jobledger.blocks as y where y.shard = p_shard and y.block = jobledger.block_of(p_shard, x.xid, x.position)) end + interval '5 s', 'infinity') as until
    from job as j
    cross join lateral (select e.worker, coalesce((e.data ->> 'beat')::int, 0) as beat, e.at, e.version from jobledger.events as e
      where e.shard = p_shard and e.stream_id = j.id and e.type = 'job.claimed' and e.worker is not null offset 0) as c
    left join lateral (select e.xid, e.position, g.epoch, g.low, g.hwm from (select y.xid, y.position from jobledger.events as y where y.shard = p_shard and y.stream_id = j.id
      and y.version > c.version and y.type = any (c_ends) order by y.version limit 1) as e join reign as g on e.position > g.low and e.position <= g.high) as x on true
    left join lateral (select y.sealed_at, y.first_position, y.snapshot from jobledger.blocks as y
      where y.shard = p_shard and y.epoch = x.epoch and pg_snapshot_xmax(y.snapshot) > x.xid order by pg_snapshot_xmax(y.snapshot), y.block limit 1) as b on true
    where v_types is null or 'worker.heartbeat' = any (v_types)
  ), said as (
    select h.stream_id, h.version, h.position, h.xid, h.held from (
      select i.worker, min(i.beat) as beat, max(i.until) as until, lead(min(i.beat)) over (partition by i.worker order by min(i.beat)) as next from (
        select s.*, sum(s.fresh) over (partition by s.worker order by s.beat, s.at) as island from (
          select c.*, case when c.at <= max(c.until) over (partition by c.worker order by c.beat, c.at rows between unbounded preceding and 1 preceding) then 0 else 1 end as fresh from claim as c
        ) as s
      ) as i group by i.worker, i.island
    ) as i
    cross join lateral (select e.stream_id, e.version, e.position, e.xid, e.data -> 'held' as held from jobledger.events as e
      where e.shard = p_shard and e.stream_id = i.worker and e.version > i.beat and e.version <= coalesce(i.next, 2147483647) and e.type = 'worker.heartbeat' and e.at <= i.until offset 0) as h
  ), own as (
    select e.position, e.xid, e.stream_id, e.version, null::uuid[] as named from job as j
    cross join lateral (select x.* from jobledger.events as x where x.shard = p_shard and x.stream_id = j.id and (v_types is null or x.type = any (v_types)) offset 0) as e
    union all
    select e.position, e.xid, e.stream_id, e.version, null from jobledger.events_control as e
    where e.tenant = v_tenant and (e.shard = p_shard) is true and (v_types is null or e.type = any (v_types))
      and (p_job is null or e.type = 'worker.report_rejected' and e.data ->> 'job' = p_job::text)
    union all
    select s.position, s.xid, s.stream_id, s.version, array_agg(distinct c.job) from said as s cross join lateral jsonb_array_elements_text(s.held) as h (id)
    join claim as c on c.worker = s.stream_id and c.job = h.id::uuid and c.beat < s.version group by s.position, s.xid, s.stream_id, s.version
    union all
    select e.position, e.xid, e.stream_id, e.version, null from job as j
    cross join lateral (select r.worker, r.version from jobledger.rejected_reports as r where r.shard = p_shard and r.job = j.id offset 0) as r
    cross join lateral (select x.* from jobledger.events as x where x.shard = p_shard and x.stream_id = r.worker and x.version = r.version offset 0) as e
    where v_types is null or 'worker.report_rejected' = any (v_types)
  ), placed as (
    select o.position, o.stream_id, o.version, o.named, case when o.position <= g.hwm and b.first_position > g.low and pg_visible_in_snapshot(o.xid, b.snapshot)
      then case when b.parts = 1 then b.block else (select x.block from jobledger.blocks as x where x.shard = p_shard and x.block >= b.block and x.last_position >= o.position
        order by x.block limit 1) end
      else jobledger.block_of(p_shard, o.xid, o.position) end as block
    from own as o join reign as g on o.position > g.low and o.position <= g.high
    left join lateral (select x.block, x.parts, x.first_position, x.snapshot from jobledger.blocks as x
      where x.shard = p_shard and x.epoch = g.epoch and pg_snapshot_xmax(x.snapshot) > o.xid order by pg_snapshot_xmax(x.snapshot), x.block limit 1) as b on true
  ), chosen as (
    select p.* from placed as p where (p.block > v_block or (p.block = v_block and p.position > p_position))
      and (not v_retiring or p.block > h.block or not jobledger.is_retired(p_shard, p.stream_id)) order by p.block, p.position limit p_limit
  )
  select c.block, c.position, b.epoch + case when c.block <= h.block then h.generation << 20 else 0 end, b.sealed_at, c.stream_id, c.version, c.named from chosen as c
  cross join lateral (select x.epoch, x.sealed_at from jobledger.blocks as x where x.shard = p_shard and x.block = c.block offset 0) as b order by c.block, c.position;
  get diagnostics v_got = row_count;
  if v_got < p_limit then
    return query select b.block, b.last_position, jobledger.told_epoch(p_shard, b.block, b.epoch), b.sealed_at, null::uuid, null::int, null::uuid[] from jobledger.blocks as b
    where b.shard = p_shard and (b.block, b.last_position) >= (v_block, p_position) order by b.block desc limit 1;
  end if;
end
$$;
