-- Enqueue one job that states nothing but what follows; without an idempotency key it is always a new one. Json travels as text, so that no codec of the caller's pool matters.
select jobledger.enqueue(kind => $1::text, args => $2::text::jsonb, tenant => $3::text, queue => $4::text, priority => $5::int, timeout => $6::int, max_attempts => $7::int,
  owner => $8::text, actor => $9::text, strict => $10::boolean, shard => $11::smallint)
