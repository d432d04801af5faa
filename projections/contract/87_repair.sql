-- The one repair path: make the rows of these jobs what their streams say. READ COMMITTED, one fresh snapshot a statement:
-- (a) lock every row the jobs have, in the lock order; (b) delete the rows that contradict the whole stream (ready, held and due do not contradict each other);
-- (c) where no row of a job lies anywhere, insert what its stream says; (d) delete what (c) inserted whose stream has gone on. Without (d) a job that is being
-- claimed this moment comes back into `ready`. A row that agrees with its stream stays, also beside such a one.
-- Each repaired job is an event of the store.
-- Plans: scalar selects and laterals, so one descent an id and table: an anti-join read the whole queue for each id.
drop function if exists jobledger.repair;

create function jobledger.repair(p_shard smallint, p_ids uuid[])
returns table (job uuid, found text, expected text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '200ms' set jit = off set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_wrong record;
  v_none uuid[];
  v_ids uuid[] := array(select distinct i from unnest(p_ids) as i order by i);
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform jobledger.refuse('JL101', 'repair needs READ COMMITTED: each of its steps looks anew.', 'Call it in a transaction of that level.');
  end if;
  perform from unnest(v_ids) as i (id) cross join lateral (select from jobledger.running as r where r.shard = p_shard and r.id = i.id for update) as locked;
  perform from unnest(v_ids) as i (id) cross join lateral (select from jobledger.ready as r where r.shard = p_shard and r.id = i.id for update) as locked;
  perform from unnest(v_ids) as i (id) cross join lateral (select from jobledger.waiting as w where w.shard = p_shard and w.id = i.id for update) as locked;
  perform from unnest(v_ids) as i (id) cross join lateral (select from jobledger.finished as f where f.shard = p_shard and f.id = i.id for update) as locked;
  for v_wrong in select f.* from jobledger.row_faults(p_shard, p_ids) as f order by f.job loop
    perform jobledger.take_away(p_shard, v_wrong.job, v_wrong.found) where v_wrong.found is not null;
    perform jobledger.append_control(p_shard, '_global', 'store', 'repair', 'store.mismatch_repaired', v_now, null,
      jsonb_build_object('job', v_wrong.job, 'found', v_wrong.found, 'expected', v_wrong.expected));
    -- Not by assignment: `found` would be PL/pgSQL's own boolean.
    return query select v_wrong.job, v_wrong.found, v_wrong.expected;
  end loop;
  select array_agg(i.id) into v_none from unnest(p_ids) as i (id)
  where (select 1 from jobledger.running as r where r.shard = p_shard and r.id = i.id) is null and (select 1 from jobledger.ready as r where r.shard = p_shard and r.id = i.id) is null
    and (select 1 from jobledger.waiting as w where w.shard = p_shard and w.id = i.id) is null and (select 1 from jobledger.finished as f where f.shard = p_shard and f.id = i.id) is null;
  perform jobledger.place(jobledger.folded_job(p_shard, n.id)) from unnest(v_none) as n (id)
  where (select e.type = 'job.enqueued' from jobledger.events as e where e.shard = p_shard and e.stream_id = n.id and e.version = 1);
  perform jobledger.take_away(p_shard, f.job, f.found) from jobledger.row_faults(p_shard, v_none) as f where v_none is not null and f.found is not null and f.found is distinct from f.expected;
  delete from jobledger.ready as r where r.shard = p_shard and r.id = any (v_none) and (select 1 from jobledger.waiting as w where w.shard = r.shard and w.id = r.id) is not null;
  return query select m.* from jobledger.mend_unique_keys(p_shard, p_ids, v_now) as m;
end
$$;
