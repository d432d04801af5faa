-- Refuse a batch of reports that is not well formed, or carries a result over its limit, before anything is written.
create or replace function jobledger.check_reports(p_shard smallint, p_ids uuid[], p_claims int[], p_outcomes text[], p_datas jsonb[]) returns void
language plpgsql stable
as $$
declare
  v_limit int;
  v_n int := cardinality(p_ids);
begin
  if v_n is null or v_n is distinct from cardinality(p_claims) or v_n is distinct from cardinality(p_outcomes) or v_n is distinct from cardinality(p_datas) or v_n > 10000 then
    perform jobledger.refuse('JL101', 'A report names the same number of ids, claims, outcomes and data, at most 10000.', 'Mend the call.');
  end if;
  if array_position(p_claims, null) is not null or 1 > any (p_claims) then
    perform jobledger.refuse('JL101', 'A claim is the version of the event that claimed the job, 1 or more.', 'Mend the call.');
  end if;
  if array_position(p_outcomes, null) is not null or not p_outcomes <@ '{succeeded,failed,snoozed,interrupted,cancelled,parked,progressed}' then
    perform jobledger.refuse('JL101', 'An outcome is one of succeeded, failed, snoozed, interrupted, cancelled, parked, progressed.', 'Mend the call.');
  end if;
  if array_position(p_ids, null) is not null or exists (select from unnest(p_ids[:v_n - 1], p_ids[2:]) as t (before, i) where t.i <= t.before) then
    perform jobledger.refuse('JL101', 'The ids of a report ascend and are each named once.', 'Sort them.');
  end if;
  -- Most batches are successes without a result.
  if cardinality(array_remove(p_datas, null)) = 0 and not ('snoozed' = any (p_outcomes)) then
    return;
  end if;
  if exists (select from unnest(p_outcomes, p_datas) as d (outcome, data) where d.data is not null and (jsonb_typeof(d.data) <> 'object'
      or (d.data ? 'retry_in' and (jsonb_typeof(d.data -> 'retry_in') <> 'number' or (d.data ->> 'retry_in')::numeric not between 0 and 3153600000)))
      or (d.outcome = 'snoozed' and (d.data ->> 'run_at') is null)) then
    perform jobledger.refuse('JL101', 'The data of a report is an object; snoozed names its run_at; retry_in is a number of seconds from 0 to 3153600000.', 'Mend the call.');
  end if;
  if exists (select from unnest(p_outcomes, p_datas) as d (outcome, data) where (d.data ? 'error' and jsonb_typeof(d.data -> 'error') <> 'object')
      or jsonb_typeof(d.data -> 'reason') not in ('string', 'null') or jsonb_typeof(d.data -> 'progress') not in ('number', 'null')
      or jsonb_typeof(d.data #> '{error,type}') not in ('string', 'null') or jsonb_typeof(d.data #> '{error,message}') not in ('string', 'null')
      or jsonb_typeof(d.data -> 'ran') not in ('number', 'null')) then
    perform jobledger.refuse('JL101', 'In the data of a report error is an object with texts, reason a text, progress and ran are numbers.', 'Mend the call.');
  end if;
  begin
    if exists (select from unnest(p_outcomes, p_datas) as d (outcome, data) where (d.outcome = 'snoozed' and not (d.data ->> 'run_at')::timestamptz between '2000-01-01Z' and '2200-01-01Z')
        or (d.outcome = 'failed' and not (d.data ->> 'retry_at')::timestamptz between '2000-01-01Z' and '2200-01-01Z')) then
      perform jobledger.refuse('JL101', 'run_at and retry_at of a report lie between the years 2000 and 2200.', 'Mend the call.');
    end if;
  exception when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value then
    perform jobledger.refuse('JL101', 'run_at and retry_at of a report are timestamps with a time zone.', 'Mend the call.');
  end;
  if exists (select from unnest(p_datas) as d where pg_column_size(d) > 16384) then
    select coalesce(max(l.result_limit), 262144) into v_limit from jobledger.limits as l where l.shard = p_shard and l.scope = 'service' and l.name = '';
    perform jobledger.check_size('result', d, v_limit + 1024) from unnest(p_datas) as d where d is not null;
  end if;
end
$$;
