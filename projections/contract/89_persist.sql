-- Make the live tables unlogged, or logged again. Unlogged they cost no WAL (about 1 KB a job), and are empty after a crash of the server, when the next `open` rebuilds
-- them from the log; safe only because the log is the truth. `live` always has the same persistence, so that it tells. A standby cannot read unlogged tables.
-- The tables are rewritten under an exclusive lock, asked for with a short lock_timeout (55P03: try again). False: they were so already.
drop function if exists jobledger.persist;

create function jobledger.persist(p_shard smallint, p_unlogged boolean, p_actor text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms'
as $$
declare
  v_table text;
  v_changed boolean := false;
begin
  if p_unlogged is null then
    perform jobledger.refuse('JL101', 'Say whether the live tables are to be unlogged.', 'Nothing was changed; mend the call.');
  end if;
  perform jobledger.check_words(p_shard, p_actor, null);
  foreach v_table in array array['running', 'ready', 'waiting', 'live'] loop
    if (select c.relpersistence = 'u' from pg_class as c where c.oid = to_regclass('jobledger.' || v_table)) <> p_unlogged then
      execute format('alter table jobledger.%I set %s', v_table, case when p_unlogged then 'unlogged' else 'logged' end);
      v_changed := true;
    end if;
  end loop;
  if v_changed then
    -- Logged tables need no copy, and a copy from before is not worth going on from; once they are unlogged again the next tick says that one is due.
    delete from jobledger.queue_snapshots where shard = p_shard;
    perform jobledger.append_control(p_shard, '_global', 'store', 'persistence', 'store.limited', jobledger.now(), p_actor, jsonb_build_object('name', '', 'set', jsonb_build_object('unlogged', p_unlogged::int)));
  end if;
  return v_changed;
end
$$;
