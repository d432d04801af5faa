-- Those of these jobs that have no row in `finished`, in the same order: each is looked up by the primary key, so it does not matter how many have finished.
create or replace function jobledger.unfinished(p_shard smallint, p_ids uuid[]) returns uuid[]
language sql stable set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
  select array(select i.id from unnest(p_ids) with ordinality as i (id, ord)
    where not exists (select from jobledger.finished as d where d.shard = p_shard and d.id = i.id) order by i.ord)
$$;
