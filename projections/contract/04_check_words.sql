-- Refuse what every public function that writes refuses: no shard, or words for the record that are over their limits (actor 256 characters, reason 2,000).
create or replace function jobledger.check_words(p_shard smallint, p_actor text, p_reason text) returns void
language plpgsql immutable
as $$
begin
  if p_shard is null then
    perform jobledger.refuse('JL101', 'The shard is a number: 0 on one machine.', 'Nothing was changed; mend the call.');
  end if;
  if length(p_actor) > 256 or length(p_reason) > 2000 then
    perform jobledger.refuse('JL101', 'actor has at most 256 characters, reason at most 2000.', 'Nothing was changed; mend the call.');
  end if;
end
$$;
