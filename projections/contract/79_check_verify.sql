-- Refuse who may not verify: the whole log is everybody's. A page has 1 to 10,000 entries, and its bounds are given.
create or replace function jobledger.check_verify(p_shard smallint, p_limit int, p_missing int) returns void
language plpgsql stable
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_limit is null or p_limit not between 1 and 10000 or p_missing > 0 then
    perform jobledger.refuse('JL101', 'A page has 1 to 10000 entries, and needs each of its bounds.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The log as a whole is everybody''s: only who sees every tenant may verify it.', 'Ask the service, which shows a tenant its own.');
  end if;
end
$$;
