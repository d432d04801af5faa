-- Free the unique keys that finished ones among these jobs still hold, and give open ones the key that nobody holds: the last step of `repair`, which has locked and mended
-- their rows, so their keys are what those say. Two open jobs that should hold one key: the first gets it.
create or replace function jobledger.mend_unique_keys(p_shard smallint, p_ids uuid[], p_now timestamptz) returns table (job uuid, found text, expected text)
language plpgsql set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  v_wrong record;
begin
  for v_wrong in select c.*, s.tenant, s.unique_key from jobledger.unique_key_faults(p_shard, p_ids) as c
    cross join lateral (select e.tenant, e.data ->> 'unique' as unique_key from jobledger.events as e where e.shard = p_shard and e.stream_id = c.job and e.version = 1) as s
    order by s.tenant, s.unique_key, c.job loop
    if v_wrong.expected is null then
      delete from jobledger.unique_keys as u where u.shard = p_shard and u.tenant = v_wrong.tenant and u.key = v_wrong.unique_key and u.id = v_wrong.job;
    else
      insert into jobledger.unique_keys (id, shard, tenant, key) values (v_wrong.job, p_shard, v_wrong.tenant, v_wrong.unique_key) on conflict do nothing;
    end if;
    perform jobledger.append_control(p_shard, '_global', 'store', 'repair', 'store.mismatch_repaired', p_now, null,
      jsonb_build_object('job', v_wrong.job, 'found', v_wrong.found, 'expected', v_wrong.expected));
    return query select v_wrong.job, v_wrong.found, v_wrong.expected;
  end loop;
end
$$;
