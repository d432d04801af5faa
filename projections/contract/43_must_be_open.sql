-- Refuse what needs the live tables while they are not rebuilt. Everything but enqueue asks this first.
create or replace function jobledger.must_be_open(p_shard smallint) returns void
language plpgsql stable
as $$
begin
  if not jobledger.is_open(p_shard) then
    perform jobledger.refuse('JL501', 'The live tables are not rebuilt yet.', 'Run `jobledger open`, or wait until a worker has; enqueueing goes on meanwhile.');
  end if;
end
$$;
