-- Stop a projection, and its shadow, where it stands: with the error of its fold, or without one, by an operator. `p_block`: only what still stands there, since another runner may
-- have come past what this one failed at; `p_shadow`: only that one (null: both). Returns how many were stopped. Waits for a batch that is being folded.
create or replace function jobledger.projection_stop(p_shard smallint, p_name text, p_error text default null, p_shadow boolean default null, p_block bigint default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_stopped int;
begin
  perform jobledger.check_projection(p_shard, p_name);
  if length(p_error) > 1000 then
    perform jobledger.refuse('JL101', 'The error that is kept has at most 1000 characters.', 'Mend the call.');
  end if;
  update jobledger.projections as p set state = 'stopped', error = p_error, failed_at = case when p_error is not null then jobledger.now() end, updated_at = jobledger.now()
  where p.shard = p_shard and p.name = p_name and p.shadow = coalesce(p_shadow, p.shadow) and p.block = coalesce(p_block, p.block) and p.state <> 'stopped';
  get diagnostics v_stopped = row_count;
  return v_stopped;
end
$$;
