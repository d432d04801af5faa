-- Put back a job that was taken and, on a second look, is to be left alone: its place by the clock of now, not of its last event.
create or replace function jobledger.place_back(s jobledger.folded, p_now timestamptz) returns void
language plpgsql
as $$
begin
  s.at := p_now;
  perform jobledger.place(s);
end
$$;
