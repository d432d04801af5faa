-- Retry a finished job: lock and delete its `finished` row, append at its head + 1, insert the live row with the attempt budget and kill date that the event states,
-- and take its unique key again; if another open job has the key nothing is changed.
drop function if exists jobledger.retry_job;

create function jobledger.retry_job(p_shard smallint, p_id uuid, p_actor text, p_said jsonb, p_data jsonb, p_now timestamptz, out verdict text, out state text)
language plpgsql
as $$
declare
  v_row jobledger.finished;
  s jobledger.folded;
  v_budget int;
begin
  select f.* into v_row from jobledger.finished as f where f.shard = p_shard and f.id = p_id for update;
  if not found then
    verdict := 'wrong_state';
    return;
  end if;
  state := v_row.state::text;
  s := jobledger.folded_job(p_shard, p_id);
  if s.id is null then
    perform jobledger.refuse('JL301', 'The job''s history was dropped by retention.', 'Enqueue it anew.');
  end if;
  if s.unique_key is not null then
    insert into jobledger.unique_keys (id, shard, tenant, key) values (p_id, p_shard, s.tenant, s.unique_key) on conflict do nothing;
    if not found then
      verdict := 'unique_taken';
      return;
    end if;
  end if;
  select coalesce((e.data ->> 'max_attempts')::int, 5) into v_budget from jobledger.events as e where e.shard = p_shard and e.stream_id = p_id and e.version = 1;
  delete from jobledger.finished as f where f.shard = p_shard and f.id = p_id;
  s := jobledger.append(s, 'job.retried', p_now, p_actor,
    p_said || jobledger.new_dates(s, p_data, p_now) || jsonb_build_object('max_attempts', least(s.attempt + coalesce((p_data ->> 'attempts')::int, v_budget), 32000)));
  state := s.state::text;
  verdict := 'done';
end
$$;
