-- What a job's stream says, folded: the one shape between the log, the live tables and `finished`.
drop type if exists jobledger.folded cascade;

create type jobledger.folded as (
  id uuid,
  run_at timestamptz,
  kill_at timestamptz,
  head int,
  timeout int,
  shard smallint,
  priority smallint,
  attempt smallint,
  max_attempts smallint,
  releases smallint,
  tenant text,
  queue text,
  kind text,
  owner text,
  unique_key text,
  worker uuid,
  claimed_at timestamptz,
  timeout_at timestamptz,
  claim int,
  call int,
  cancel_requested boolean,
  state jobledger.job_state,
  reason text,
  at timestamptz
);
