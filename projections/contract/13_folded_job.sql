-- What the log says of one job now; all null when there is no such stream.
create or replace function jobledger.folded_job(p_shard smallint, p_id uuid) returns jobledger.folded
language sql stable
as $$
  select jobledger.fold(e order by e.version) from jobledger.events as e where e.shard = p_shard and e.stream_id = p_id
$$;
