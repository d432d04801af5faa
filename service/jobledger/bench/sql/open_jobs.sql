-- Whether any job is still open. Three probes, no count: it is asked while the drain is at its end.
select exists (select from jobledger.ready)
  or exists (select from jobledger.running)
  or exists (select from jobledger.waiting)
