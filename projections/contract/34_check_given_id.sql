-- An id made by a client: a version 7 uuid within -1 h and +5 min of the database's clock, in a partition that is there, and not taken.
-- Ids are one space for all tenants: who names a taken one learns that it is taken and nothing else (62 random bits in it: not to be guessed).
-- The race of two callers with one id ends at the log's primary key.
drop function if exists jobledger.check_given_id;

create function jobledger.check_given_id(p_shard smallint, p_id uuid, p_now timestamptz, p_item int default null) returns void
language plpgsql
as $$
declare
  v_which text := coalesce('Item ' || p_item || ': ', '');
  v_facts jsonb := case when p_item is not null then jsonb_build_object('items', jsonb_build_array(p_item)) end;
begin
  if substr(p_id::text, 15, 1) <> '7' or jobledger.time_of(p_id) not between p_now - interval '1 hour' and p_now + interval '5 minutes' then
    perform jobledger.refuse('JL107', v_which || 'The id is no version 7 uuid within one hour before and five minutes after the database''s clock.',
      'Leave the id out, or make it from jobledger.now().', v_facts);
  end if;
  if to_regclass('jobledger.events_' || to_char(jobledger.time_of(p_id) at time zone 'UTC', 'YYYY_MM')) is null then
    perform jobledger.refuse('JL108', v_which || 'No partition of the log holds this id.', 'Run `jobledger tick` or `select jobledger.partitions_ensure()`.', v_facts);
  end if;
  if exists (select from jobledger.events as e where e.shard = p_shard and e.stream_id = p_id and e.version = 1) then
    perform jobledger.refuse('JL201', v_which || 'A job of this id exists.', 'Use an idempotency key to make a call that may be repeated.', v_facts);
  end if;
end
$$;
