-- One job as it was at a moment (of `moment_of_token`, `moment_of_place` or `moment_of_time`): the fold of its events up to it, what it was enqueued with, its last progress and how its
-- last attempt had ended; one row, none where there was no such job. Reads that one stream. A job whose partition was dropped is JL301. Only for who sees every tenant.
drop function if exists jobledger.job_as_of;

create function jobledger.job_as_of(p_shard smallint, p_id uuid, p_moment jobledger.moment, p_tenant text default null)
returns table (job jobledger.jobs, enqueued text, enqueued_by text, last_type text, last_data text, last_at timestamptz, last_actor text, progress text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.check_moment(p_moment);
  if p_id is null then
    perform jobledger.refuse('JL101', 'Which job is meant is an id.', 'Mend the call.');
  end if;
  perform jobledger.must_see_order();
  return query
  with told as materialized (
    select e as event, e.version, e.type, e.data, e.at, e.actor from jobledger.events as e
    where e.shard = p_shard and e.stream_id = p_id and e.type <= 'job.redacted' and jobledger.was_seen(e.position, e.xid, p_moment)
  ), folded as materialized (
    select jobledger.fold(t.event order by t.version) as f from told as t
  )
  select jobledger.jobs_row(f.f, p_moment.at), first.data::text, first.actor, last.type::text, last.data::text, last.at, last.actor, progress.data::text
  from folded as f
  left join told as first on first.version = 1
  left join lateral (
    select t.* from told as t
    where t.type in ('job.succeeded', 'job.failed', 'job.lease_expired', 'job.snoozed', 'job.interrupted', 'job.released', 'job.parked', 'job.cancelled', 'job.killed')
    order by t.version desc limit 1
  ) as last on true
  left join lateral (
    select t.data from told as t where t.type = 'job.progressed' and t.version > coalesce((f.f).claim, 0) order by t.version desc limit 1
  ) as progress on true
  where (f.f).id is not null and (p_tenant is null or (f.f).tenant = p_tenant);
  if not found and jobledger.is_gone(p_shard, p_id) then
    perform jobledger.refuse('JL301', 'The job''s history was dropped by retention.', 'What was to be kept of it was exported before, if at all.');
  end if;
end
$$;
