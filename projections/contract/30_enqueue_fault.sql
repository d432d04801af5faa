-- What is wrong with a job to be enqueued, as 'SQLSTATE: sentence', or null. One expression, and no stricter than its parts, so that it is inlined into both ways of enqueuing.
-- Limits: names 128 characters, key and unique_key 256, owner 256, tags 32 of 64 characters, priority -1000..1000, attempts 1..1000, timeout 1 s..7 days.
create or replace function jobledger.enqueue_fault(
  p_kind text, p_tenant text, p_queue text, p_priority int, p_run_at timestamptz, p_kill_at timestamptz, p_timeout int, p_max_attempts int,
  p_owner text, p_tags text[], p_key text, p_unique_key text, p_now timestamptz
) returns text
language sql stable parallel safe
as $$
  select case
    when p_tenant is null or ((p_tenant collate "C" !~ '^[A-Za-z0-9][A-Za-z0-9._:@/-]*$' or length(p_tenant) > 128) and p_tenant <> '_global')
      then 'JL102: A tenant''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : @ / - and begins with a letter or digit.'
    when p_kind is null or (p_kind collate "C" !~ '^[A-Za-z0-9_][A-Za-z0-9._:/-]*$' or length(p_kind) > 128)
      then 'JL101: A kind''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / - and begins with a letter, digit or _.'
    when p_queue is not null and (p_queue collate "C" !~ '^[A-Za-z0-9_][A-Za-z0-9._:/-]*$' or length(p_queue) > 128)
      then 'JL101: A queue''s name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / - and begins with a letter, digit or _.'
    when p_priority not between -1000 and 1000 then 'JL101: priority lies between -1000 (first) and 1000 (last).'
    when p_run_at < p_now - interval '24 hours' then 'JL106: run_at lies more than 24 hours in the past.'
    when p_run_at = 'infinity' or p_run_at > p_now + interval '100 years' then 'JL101: run_at lies more than 100 years ahead.'
    when p_kill_at is not null and p_kill_at <= greatest(p_now, p_run_at) then 'JL101: kill_at must lie after now and after run_at.'
    when p_kill_at > p_now + interval '200 years' then 'JL101: A kill date can be set far, never off: at most 200 years ahead.'
    when p_timeout not between 1 and 604800 then 'JL101: timeout lies between 1 second and 7 days (604800).'
    when p_max_attempts not between 1 and 1000 then 'JL101: max_attempts lies between 1 and 1000.'
    when p_owner = '' or length(p_owner) > 256 then 'JL101: owner has 1 to 256 characters.'
    when p_key = '' or length(p_key) > 256 then 'JL101: key has 1 to 256 characters.'
    when p_unique_key = '' or length(p_unique_key) > 256 then 'JL101: unique_key has 1 to 256 characters.'
    when cardinality(p_tags) > 32 or length(array_to_string(p_tags, '')) > 2048 then 'JL101: A job has at most 32 tags of together 2,048 characters.'
  end
$$;
