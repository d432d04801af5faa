-- How a tenant does: its open jobs now (tenant_open), and what happened between two times, whole minutes, the last hour by default (tenant_history). `at` is the clock of the answer, and of
-- its open jobs where those are from the live tables; `counted` is how far the projection had come: null while it is not made. Everything is of the caller's one snapshot.
-- A tenant that the caller may not see answers like one that has no jobs.
drop function if exists jobledger.tenant_status;

create function jobledger.tenant_status(p_shard smallint, p_tenant text, p_since timestamptz default null, p_until timestamptz default null) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off
as $$
declare
  v_now timestamptz := jobledger.now();
  v_until timestamptz := coalesce(p_until, v_now);
  v_since timestamptz := coalesce(p_since, greatest(v_until, '1900-01-01Z') - interval '1 hour');
  v_tenant text := case when jobledger.may(p_tenant) then p_tenant else '' end;
  v_counted timestamptz;
begin
  perform jobledger.check_words(p_shard, null, null);
  if p_tenant is null or not jobledger.is_name(p_tenant) then
    perform jobledger.refuse('JL102', 'A tenant''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begins with a letter or digit.', 'Mend the call.');
  end if;
  if coalesce(p_since, v_now) not between '2000-01-01Z' and '2200-01-01Z' or v_until not between '2000-01-01Z' and '2200-01-01Z' or v_since >= v_until or v_until - v_since > interval '366 days' then
    perform jobledger.refuse('JL101', 'A period begins before it ends, and has at most 366 days.', 'Mend the call.');
  end if;
  perform jobledger.must_be_open(p_shard);
  v_since := date_bin('1 minute', v_since, 'epoch');
  if to_regclass('jobledger_tenants.progress') is not null then
    v_counted := jobledger.counted_as_of(p_shard, v_now);
  end if;
  return jsonb_build_object('tenant', p_tenant, 'at', v_now, 'open', jobledger.tenant_open(p_shard, v_tenant, v_now, 5000), 'since', v_since, 'until', v_until, 'counted', v_counted)
    || case when v_counted is not null then jobledger.tenant_history(p_shard, v_tenant, v_since, v_until) else '{}' end;
end
$$;
