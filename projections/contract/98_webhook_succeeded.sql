-- Note that a webhook's endpoint took what it was sent: these slices fail no longer. A webhook that is gone is none to be told of.
drop function if exists jobledger.webhook_succeeded;

create function jobledger.webhook_succeeded(p_shard smallint, p_id uuid, p_slices smallint[], p_status int) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_id is null or p_slices is null or cardinality(p_slices) > 256 or coalesce(p_status not between 100 and 999, true) then
    perform jobledger.refuse('JL101', 'A delivery is of a webhook and at most 256 of its slices, and has a status of 100 to 999.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  update jobledger.webhooks as w set attempted_at = v_now, succeeded_at = v_now, last_status = p_status, last_fault = null where w.shard = p_shard and w.id = p_id;
  delete from jobledger.webhook_failures as f where f.shard = p_shard and f.webhook = p_id and f.slice = any (p_slices);
end
$$;
