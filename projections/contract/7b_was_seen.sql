-- Does an event count at a moment? (See the type `moment`.)
create or replace function jobledger.was_seen(p_position bigint, p_xid xid8, m jobledger.moment) returns boolean
language sql immutable parallel safe
as $$
  select p_position <= m.hwm and (p_position <= m.floor or pg_visible_in_snapshot(p_xid, m.since) or (p_position <= m.position and pg_visible_in_snapshot(p_xid, m.snapshot)))
$$;
