-- The jobs that have not finished, by the log alone, ascending: the streams that have no row in `finished`. Reads every first event, so its time grows with the log.
-- No nested loop: the two are joined by hash whatever the planner believes of tables that were never analysed.
create or replace function jobledger.open_streams(p_shard smallint) returns uuid[]
language sql stable set enable_nestloop = off set work_mem = '64MB'
as $$
  select array(select e.stream_id from jobledger.events as e where e.shard = p_shard and e.version = 1 and e.type = 'job.enqueued'
    and not exists (select from jobledger.finished as d where d.shard = p_shard and d.id = e.stream_id) order by e.stream_id)
$$;
