-- The second statement of `enqueue_many`: where a key was there before, the id of the job that took it; the same key with other content is an error, and takes all back.
create or replace function jobledger.enqueued_before(p_jobs jsonb, p_ids uuid[], p_new boolean[], p_shard smallint)
returns table (ord int, id uuid, created boolean)
language plpgsql
as $$
#variable_conflict use_column
declare
  v_other int[];
begin
  return query
  select a.n::int - 1, case when a.created then a.id else i.id end, a.created
  from unnest(p_ids, p_new) with ordinality as a (id, created, n)
  left join jobledger.idempotency as i on not a.created and i.shard = p_shard and i.tenant = coalesce(p_jobs -> (a.n::int - 1) ->> 'tenant', 'default')
    and i.key = p_jobs -> (a.n::int - 1) ->> 'key'
  order by a.n;
  select array_agg(a.n::int - 1 order by a.n) into v_other
  from unnest(p_ids, p_new) with ordinality as a (id, created, n)
  join jobledger.idempotency as i on i.shard = p_shard and i.tenant = coalesce(p_jobs -> (a.n::int - 1) ->> 'tenant', 'default') and i.key = p_jobs -> (a.n::int - 1) ->> 'key'
  cross join lateral (select p_jobs -> (a.n::int - 1) as j) as x
  where not a.created and i.hash is distinct from jobledger.content_hash(x.j ->> 'kind', coalesce(x.j ->> 'queue', (select k.queue from jobledger.kinds as k
    where k.shard = p_shard and k.name = x.j ->> 'kind'), 'default'), coalesce(nullif(x.j -> 'args', 'null'), '{}'), x.j ->> 'owner');
  if v_other is not null then
    perform jobledger.refuse('JL202', 'An idempotency key was used before with other content.', 'All or nothing: nothing was written. Use a new key for a new request.',
      jsonb_build_object('items', to_jsonb(v_other)));
  end if;
end
$$;
