-- What one round of a claim took: per lane read, and per job.
drop type if exists jobledger.taken_lanes cascade;

create type jobledger.taken_lanes as (
  ords int[], asked int[], looked int[], got int[], strange int[], more boolean[], last_at timestamptz[], last_id uuid[],
  ids uuid[], tenants text[], queues text[], kinds text[], priorities smallint[], attempts smallint[], max_attempts smallint[], claims int[], run_ats timestamptz[],
  kill_ats timestamptz[], timeouts int[], owners text[]
);
