-- Enqueue one job from a synchronous driver. Parameters: the function's own, in this order; each is cast, because a
-- driver may send null without a type. No two casts by `::`: SQLAlchemy reads a colon after a name as part of it.
select jobledger.enqueue(
  kind => cast($1 as text), args => cast($2 as jsonb), tenant => cast($3 as text), queue => cast($4 as text),
  priority => cast($5 as int), run_at => cast($6 as timestamptz), kill_at => cast($7 as timestamptz),
  timeout => cast($8 as int), max_attempts => cast($9 as int), owner => cast($10 as text), tags => cast($11 as text[]),
  meta => cast($12 as jsonb), key => cast($13 as text), unique_key => cast($14 as text), backoff => cast($15 as jsonb),
  trace => cast($16 as jsonb), id => cast($17 as uuid), actor => cast($18 as text)
) as id
