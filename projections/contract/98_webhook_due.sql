-- The webhooks that are to be delivered to: for deliverers, which ask every second.
drop function if exists jobledger.webhook_due;

create function jobledger.webhook_due(p_shard smallint)
returns table (id uuid, tenant text, name text, url text, filter text, batch smallint, generation int, rotated_at timestamptz, created_at timestamptz, changed_at timestamptz, slices smallint, lease_s int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query
  select w.id, w.tenant, w.name, w.url, s.filter::text, w.batch, w.generation, w.rotated_at, w.created_at, w.changed_at, s.slices, s.lease_s
  from jobledger.webhooks as w join jobledger.subscriptions as s on s.shard = p_shard and s.id = w.id
  where w.shard = p_shard and not s.disabled order by w.id;
end
$$;
