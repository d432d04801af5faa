-- Refuse what says nowhere: where a subscription begins or goes on is said by a word, and only a cursor has a place, only a time a time.
create or replace function jobledger.check_subscription_place(p_to text, p_epoch int, p_block bigint, p_position bigint, p_at timestamptz) returns void
language plpgsql immutable
as $$
begin
  if p_to is null or p_to not in ('beginning', 'end', 'cursor', 'time') or num_nonnulls(p_epoch, p_block, p_position) <> (case p_to when 'cursor' then 3 else 0 end)
      or (p_to = 'time') <> (p_at is not null) or least(p_epoch, p_block, p_position) < 0 or not coalesce(isfinite(p_at), true) then
    perform jobledger.refuse('JL101', 'A subscription begins at the beginning, the end, a cursor (epoch, block and position, none below 0) or a time.', 'Nothing was changed; mend the call.');
  end if;
end
$$;
