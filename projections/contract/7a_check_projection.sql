-- What every function of the register of projections refuses first: no shard, a name that none can have, and a caller who does not see every tenant.
create or replace function jobledger.check_projection(p_shard smallint, p_name text) returns void
language plpgsql stable
as $$
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_name is null or p_name !~ '^[a-z][a-z0-9_]{0,39}$' or p_name ~ '_next$' then
    perform jobledger.refuse('JL101', 'A projection''s name is a to z, 0 to 9 and _, at most 40 characters, begins with a letter and does not end in _next.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'Projections are folded from everybody''s events: only who sees every tenant may see to them.', 'Ask the service.');
  end if;
end
$$;
