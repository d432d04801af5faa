-- Was what this id names dropped by retention, if it ever was? Then a job of it that nobody knows is `job_gone`, not `not_found`. The answer depends on the time in the id and on nothing
-- else, so it tells nobody whether there ever was such a job.
drop function if exists jobledger.is_gone;

create function jobledger.is_gone(p_shard smallint, p_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_id is null then
    perform jobledger.refuse('JL101', 'Ask about an id.', 'Mend the call.');
  end if;
  return jobledger.is_retired(p_shard, p_id);
end
$$;
