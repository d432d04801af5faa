-- Free the unique keys that finished ones among these jobs still hold, and those they never had, and give open ones the key that nobody holds: the last step of `repair`,
-- which has locked and mended their rows, so their keys are what those say. Two open jobs of one key: the first gets it if it is free, and the other stays without:
-- which of them is to go is a person's to say. Keys in their order, so that two repairs do not deadlock; of one key first what frees it.
create or replace function jobledger.mend_unique_keys(p_shard smallint, p_ids uuid[], p_now timestamptz) returns table (job uuid, found text, expected text)
language plpgsql set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  v_wrong record;
  v_done int;
begin
  for v_wrong in
    select c.job, c.found, c.expected, s.tenant, s.key from jobledger.unique_key_faults(p_shard, coalesce(p_ids, '{}')) as c
    cross join lateral (select e.tenant, e.data ->> 'unique' as key from jobledger.events as e where e.shard = p_shard and e.stream_id = c.job and e.version = 1) as s
    union all
    select s.job, 'unique key that is not its own', null, s.tenant, s.key from jobledger.stray_unique_keys(p_shard, coalesce(p_ids, '{}')) as s
    order by tenant, key, expected nulls first, job
  loop
    if v_wrong.expected is null then
      delete from jobledger.unique_keys as u where u.shard = p_shard and u.tenant = v_wrong.tenant and u.key = v_wrong.key and u.id = v_wrong.job;
    else
      insert into jobledger.unique_keys (id, shard, tenant, key) values (v_wrong.job, p_shard, v_wrong.tenant, v_wrong.key) on conflict do nothing;
    end if;
    get diagnostics v_done = row_count;
    if v_done > 0 then
      perform jobledger.append_control(p_shard, '_global', 'store', 'repair', 'store.mismatch_repaired', p_now, null,
        jsonb_build_object('job', v_wrong.job, 'found', v_wrong.found, 'expected', v_wrong.expected));
      return query select v_wrong.job, v_wrong.found, v_wrong.expected;
    end if;
  end loop;
end
$$;
