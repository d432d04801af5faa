-- Refuse what is no moment: each part of it decides what is seen.
create or replace function jobledger.check_moment(m jobledger.moment) returns void
language plpgsql immutable
as $$
begin
  if num_nulls(m.epoch, m.block, m.at, m.floor, m.hwm, m.position, m.since, m.snapshot) > 0 then
    perform jobledger.refuse('JL101', 'This is no moment of the past.', 'Give one of moment_of_token, moment_of_place or moment_of_time.');
  end if;
end
$$;
