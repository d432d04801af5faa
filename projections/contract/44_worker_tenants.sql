-- Whose jobs may this caller take: null for every tenant, else those of its grants that the worker asked for.
create or replace function jobledger.worker_tenants(p_asked text[]) returns text[]
language plpgsql stable
as $$
begin
  return case when jobledger.every_tenant() then p_asked
    when p_asked is null then jobledger.my_tenants()
    else array(select t from unnest(p_asked) as t where t = any (jobledger.my_tenants())) end;
end
$$;
