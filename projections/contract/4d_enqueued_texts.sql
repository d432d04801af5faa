-- The data of `job.enqueued` for many ids, in the order of the ids, and each given id's rank in that order (so that nothing is joined).
-- The bounds let a generic plan leave out the partitions that cannot hold them: 0.9 ms for 500 ids over 100 partitions, where a join took 36 ms.
drop function if exists jobledger.enqueued_texts;

create function jobledger.enqueued_texts(p_shard smallint, p_ids uuid[], out ranks int[], out datas text[])
language plpgsql stable
as $$
declare
  v_low uuid;
  v_high uuid;
begin
  select array_agg(r.rank order by r.ord), min(r.id::text)::uuid, max(r.id::text)::uuid into ranks, v_low, v_high
  from (select i.ord, i.id, rank() over (order by i.id)::int as rank from unnest(p_ids) with ordinality as i (id, ord)) as r;
  select array_agg(e.data::text order by e.stream_id) into datas
  from jobledger.events as e where e.shard = p_shard and e.stream_id = any (p_ids) and e.stream_id >= v_low and e.stream_id <= v_high and e.version = 1;
end
$$;
