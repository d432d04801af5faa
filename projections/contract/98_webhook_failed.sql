-- Count that a webhook's endpoint did not take what it was sent, the next events of these slices. Disables the webhook where the endpoint says that it is gone, or has not taken
-- one of them for `p_disable_s`. Returns the most failures of one of them, since when, and whether it is disabled now. A webhook that is gone: nothing.
-- Race: several slices fail at once, also in several processes: they count one after the other by the webhook's row, and one of them disables it.
drop function if exists jobledger.webhook_failed;

create function jobledger.webhook_failed(p_shard smallint, p_id uuid, p_slices smallint[], p_status int, p_fault text, p_gone boolean, p_disable_s double precision, p_actor text default null)
returns table (failures int, since timestamptz, disabled boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_failures int;
  v_since timestamptz;
  v_disabled boolean := false;
  w jobledger.webhooks;
begin
  perform jobledger.check_words(p_shard, p_actor, p_fault);
  if p_id is null or p_slices is null or cardinality(p_slices) not between 1 and 256 or p_status not between 100 and 999 or p_gone is null or coalesce(not (p_disable_s >= 1 and p_disable_s <= 31536000), true)
      or exists (select from unnest(p_slices) as n where coalesce(n not between 0 and 255, true)) or coalesce(p_fault !~ '^[a-z]{1,20}$', true) then
    perform jobledger.refuse('JL101', 'A failed delivery is of a webhook and 1 to 256 of its slices (0 to 255), has a status of 100 to 999 or none, one word for its fault, and a time of 1 to 31536000 s until the webhook is disabled.',
      'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  update jobledger.webhooks as x set attempted_at = v_now, last_status = p_status, last_fault = p_fault where x.shard = p_shard and x.id = p_id returning * into w;
  if w.id is null then
    return;
  end if;
  with counted as (
    insert into jobledger.webhook_failures as f (webhook, since, failures, shard, slice) select p_id, v_now, 1, p_shard, n from unnest(p_slices) as n group by n
    on conflict (shard, webhook, slice) do update set failures = least(f.failures, 1000000) + 1
    returning f.failures, f.since
  )
  select max(c.failures), min(c.since) into v_failures, v_since from counted as c;
  if p_gone then
    v_disabled := jobledger.webhook_stop(w, p_actor, 'The endpoint says that it is gone (410).');
  elsif v_since <= v_now - make_interval(secs => p_disable_s) then
    v_disabled := jobledger.webhook_stop(w, p_actor, pg_catalog.format('Its endpoint has taken nothing of some jobs since %s; the last fault: %s.',
      to_char(v_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), coalesce('status ' || p_status, p_fault)));
  end if;
  return query select v_failures, v_since, v_disabled;
end
$$;
