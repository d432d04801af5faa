-- Free the unique keys of jobs that have just finished (their rows are locked by the caller; unique keys come last but the workers in the lock order).
create or replace function jobledger.release_unique_keys(p_shard smallint, p_ids uuid[]) returns void
language sql
as $$
  delete from jobledger.unique_keys as u
  using (select e.tenant, e.data ->> 'unique' as key, e.stream_id from jobledger.events as e
    where e.shard = p_shard and e.stream_id = any (p_ids) and e.version = 1) as j
  where u.shard = p_shard and u.tenant = j.tenant and u.key = j.key and u.id = j.stream_id
$$;
