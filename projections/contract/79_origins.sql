-- What jobs were enqueued as: tenant, queue and owner by their first event, one descent each. Unknown ids have no row. Only for who sees every tenant.
drop function if exists jobledger.origins;

create function jobledger.origins(p_shard smallint, p_ids uuid[]) returns table (id uuid, tenant text, queue text, owner text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_ids is null or cardinality(p_ids) > 10000 then
    perform jobledger.refuse('JL101', 'A call takes 1 to 10000 ids.', 'Ask for them in parts.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query select i.id, e.tenant, coalesce(e.data ->> 'queue', 'default'), e.data ->> 'owner' from (select distinct u.id from unnest(p_ids) as u (id)) as i
    cross join lateral (select x.tenant, x.data from jobledger.events as x where x.shard = p_shard and x.stream_id = i.id and x.version = 1 and x.type = 'job.enqueued' offset 0) as e;
end
$$;
