-- Refuse an act that is not well formed before anything is changed.
create or replace function jobledger.check_act(p_act text, p_ids uuid[], p_actor text, p_reason text, p_data jsonb, p_now timestamptz) returns void
language plpgsql stable
as $$
declare
  v_fault text;
begin
  v_fault := case
    when p_act is null or p_act not in ('cancel', 'kill', 'retry', 'unpark', 'reschedule', 'reprioritise', 'move') then 'An act is one of cancel, kill, retry, unpark, reschedule, reprioritise, move.'
    when coalesce(cardinality(p_ids), 0) not between 1 and 10000 then 'An act names 1 to 10000 ids.'
    when array_position(p_ids, null) is not null then 'The ids of an act are not null.'
    when length(p_actor) > 256 or length(p_reason) > 2000 then 'actor has at most 256 characters, reason at most 2000.'
    when jsonb_typeof(coalesce(p_data, '{}')) <> 'object' then 'The data of an act is an object.'
    when p_act = 'retry' and p_data ? 'attempts' and (p_data ->> 'attempts' is null or p_data ->> 'attempts' !~ '^[0-9]{1,4}$' or (p_data ->> 'attempts')::int not between 1 and 1000) then 'attempts lies between 1 and 1000.'
    when p_act = 'reprioritise' and (p_data ->> 'priority' is null or jsonb_typeof(p_data -> 'priority') <> 'number' or p_data ->> 'priority' !~ '^-?[0-9]{1,4}$' or (p_data ->> 'priority')::int not between -1000 and 1000)
      then 'priority lies between -1000 (first) and 1000 (last).'
    when p_act = 'move' and (jsonb_typeof(p_data -> 'queue') is distinct from 'string' or coalesce(p_data ->> 'queue', '') collate "C" !~ '^[A-Za-z0-9_][A-Za-z0-9._:/-]*$' or length(coalesce(p_data ->> 'queue', '')) > 128) then 'A queue''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / -.'
    when p_act = 'reschedule' and p_data ->> 'run_at' is null then 'reschedule names run_at.'
  end;
  if v_fault is null and p_act in ('retry', 'reschedule') then
    begin
      if (p_data ->> 'run_at')::timestamptz not between p_now - interval '24 hours' and p_now + interval '100 years' then
        v_fault := 'run_at lies within 24 hours back and 100 years ahead.';
      elsif (p_data ->> 'kill_at')::timestamptz not between greatest(p_now, coalesce((p_data ->> 'run_at')::timestamptz, p_now)) and p_now + interval '200 years' then
        v_fault := 'kill_at lies after now and after run_at, at most 200 years ahead.';
      end if;
    exception when invalid_datetime_format or datetime_field_overflow then
      v_fault := 'run_at and kill_at are timestamps with a time zone.';
    end;
  end if;
  if v_fault is not null then
    perform jobledger.refuse('JL101', v_fault, 'Nothing was changed; mend the call.');
  end if;
end
$$;
