-- The moment of an answer, for views: the one clock, but declared stable, since a volatile function in a view's column would keep the planner from looking inside the view.
create or replace function jobledger.answered_at() returns timestamptz
language sql stable parallel safe
as $$
  select jobledger.now()
$$;
