-- Free the unique keys of jobs that have just finished (their rows are locked by the caller; unique keys come last but the workers in the lock order).
-- One descent an id and one a key, whatever the statistics say: a join read the whole partition, and every key there is.
create or replace function jobledger.release_unique_keys(p_shard smallint, p_ids uuid[]) returns void
language sql
as $$
  delete from jobledger.unique_keys as u where u.ctid = any (array(
    select (select k.ctid from jobledger.unique_keys as k where k.shard = p_shard and k.tenant = j.tenant and k.key = j.key and k.id = i.id)
    from unnest(p_ids) as i (id)
    cross join lateral (select e.tenant, e.data ->> 'unique' as key from jobledger.events as e where e.shard = p_shard and e.stream_id = i.id and e.version = 1 offset 0) as j))
$$;
