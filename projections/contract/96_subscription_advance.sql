-- Move checkpoints by compare-and-set: each slice from the place where its consumer believes it to be, if it is that consumer's and was not taken or moved since (`taken`).
-- Returns the slices that moved; of the others the caller has lost hold. In the caller's transaction, so that what a consumer writes here and its checkpoint are one.
-- The failures of an event are kept while the checkpoint only comes nearer to it, past events of other slices; else it would be tried more often than is allowed.
-- Race: two callers lock the rows in the order of the slices; a take passes over rows that are locked.
drop function if exists jobledger.subscription_advance;

create function jobledger.subscription_advance(
  p_shard smallint, p_id uuid, p_consumer uuid, p_slices smallint[], p_taken int[], p_from_blocks bigint[], p_from_positions bigint[], p_epochs int[], p_blocks bigint[], p_positions bigint[]
) returns setof smallint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_slices is null or cardinality(p_slices) > 256 or exists (select from unnest(p_slices, p_taken, p_from_blocks, p_from_positions, p_epochs, p_blocks, p_positions) as g (a, b, c, d, e, f, g)
      where num_nulls(g.a, g.b, g.c, g.d, g.e, g.f, g.g) > 0 or least(g.a, g.b, g.c, g.d, g.e, g.f, g.g) < 0) then
    perform jobledger.refuse('JL101', 'A checkpoint is of at most 256 slices, each with what was taken, the place it moves from, and the epoch, block and position it moves to, none below 0.',
      'Nothing was changed; mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  perform from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = p_id and t.slice = any (p_slices) order by t.slice for update;
  return query
  update jobledger.subscription_slices as t set epoch = g.epoch, block = g.block, position = g.position, moved_at = jobledger.now(), deaths = 0,
    failing = case when g.position < t.failing then t.failing end, failures = case when g.position < t.failing then t.failures else 0 end
  from unnest(p_slices, p_taken, p_from_blocks, p_from_positions, p_epochs, p_blocks, p_positions) as g (slice, taken, from_block, from_position, epoch, block, position)
  where t.shard = p_shard and t.subscription = p_id and t.slice = g.slice and t.consumer = p_consumer and t.taken = g.taken and t.block = g.from_block and t.position = g.from_position
    and (g.block, g.position) >= (t.block, t.position)
  returning t.slice;
end
$$;
