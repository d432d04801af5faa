-- Refuse who is bound to tenants: the order of the log, and whatever a snapshot says, is everybody's.
create or replace function jobledger.must_see_order() returns void
language plpgsql stable
as $$
begin
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
end
$$;
