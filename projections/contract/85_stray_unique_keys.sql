-- Unique keys that the job they name never had: no stream, or one that says another key. All of them, or those that name these jobs.
-- No index leads from a job to its key, so the keys (open jobs' only) are read from end to end: once in a comparison, once in each batch of a repair.
drop function if exists jobledger.stray_unique_keys;

create function jobledger.stray_unique_keys(p_shard smallint, p_ids uuid[] default null) returns table (job uuid, tenant text, key text)
language sql stable set enable_seqscan = on set plan_cache_mode = force_custom_plan
as $$
  select u.id, u.tenant, u.key from jobledger.unique_keys as u
  where u.shard = p_shard and (p_ids is null or u.id = any (p_ids))
    and not exists (select from jobledger.events as e where e.shard = p_shard and e.stream_id = u.id and e.version = 1 and e.tenant = u.tenant and e.data ->> 'unique' = u.key)
$$;
