-- Enqueue one job: the public function that also says whether it was made now, its arguments in the order of its signature. Json travels as text, so that no codec of the caller's pool matters.
select e.job, e.created from jobledger.enqueue_job(kind => $1::text, args => $2::text::jsonb, tenant => $3::text, queue => $4::text, priority => $5::int, run_at => $6::timestamptz,
  kill_at => $7::timestamptz, timeout => $8::int, max_attempts => $9::int, owner => $10::text, tags => $11::text[], meta => $12::text::jsonb,
  key => $13::text, unique_key => $14::text, backoff => $15::text::jsonb, trace => $16::text::jsonb, id => $17::uuid, actor => $18::text,
  strict => $19::boolean, shard => $20::smallint) as e
