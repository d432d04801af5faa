-- Give up a retired partition, last step: drop the table, which is detached, and say so in the log. Answers what stands in the way, or null: attached; live, workers, finished (what a
-- transaction committed that was open while the partition was detached: it is to be attached again). Fact and effect are one: the event is there when the table is not.
create or replace function jobledger.partition_drop(p_shard smallint, p_name text, p_actor text) returns text
language plpgsql
as $$
declare
  r jobledger.retired;
  v_held record;
begin
  select * into r from jobledger.retired as t where t.shard = p_shard and t.name = p_name and t.dropped_at is null for update;
  if not found then
    perform jobledger.refuse('JL101', 'The log has no retired partition of that name.', '`jobledger partitions list` names them.');
  end if;
  if exists (select from pg_inherits as i where i.inhrelid = to_regclass('jobledger.' || p_name)) then
    return 'attached';
  end if;
  select * into v_held from jobledger.partition_holds(p_shard, r.lower, r.upper);
  if v_held.live + v_held.workers + v_held.finished > 0 then
    return case when v_held.live > 0 then 'live' when v_held.workers > 0 then 'workers' else 'finished' end;
  end if;
  execute format('drop table if exists jobledger.%I', p_name);
  update jobledger.retired as t set dropped_at = jobledger.now() where t.shard = p_shard and t.name = p_name;
  perform jobledger.append_control(p_shard, '_global', 'store', 'partition', 'store.partition_dropped', jobledger.now(), p_actor, jsonb_build_object('name', p_name));
  return null;
end
$$;
