-- The live tables are as `live` is: it is never dropped, so it keeps what an operator chose when a changed file makes the others anew (logged, as every new table).
-- A database whose log is empty and that was never opened is a new one, and begins unlogged; one that exists stays as it is until `jobledger live` says otherwise.
do $$
declare
  v_table text;
begin
  if not exists (select from jobledger.live) and not exists (select from jobledger.events) and (select c.relpersistence = 'p' from pg_class as c where c.oid = 'jobledger.live'::regclass) then
    alter table jobledger.live set unlogged;
  end if;
  for v_table in select c.relname from pg_class as c join pg_class as l on l.oid = 'jobledger.live'::regclass
    where c.oid in ('jobledger.running'::regclass, 'jobledger.ready'::regclass, 'jobledger.waiting'::regclass) and c.relpersistence <> l.relpersistence order by c.relname loop
    execute format('alter table jobledger.%I set %s', v_table, case (select l.relpersistence from pg_class as l where l.oid = 'jobledger.live'::regclass) when 'u' then 'unlogged' else 'logged' end);
  end loop;
end
$$;
