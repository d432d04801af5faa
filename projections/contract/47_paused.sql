-- Which of these names are paused in a scope; empty in one probe where nothing is paused at all.
create or replace function jobledger.paused(p_shard smallint, p_scope text, p_names text[]) returns text[]
language plpgsql stable
as $$
begin
  return (select coalesce(array_agg(l.name), '{}') from jobledger.limits as l where l.shard = p_shard and l.scope = p_scope and l.paused and l.name = any (p_names));
end
$$;
