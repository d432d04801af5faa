-- The tenant wall over the finished jobs, for who reads them directly (the views ask as their caller).
do $$
declare
  v_table text;
begin
  foreach v_table in array array['finished'] loop
    execute format('alter table jobledger.%I enable row level security', v_table);
    execute format('drop policy if exists %I on jobledger.%I', v_table || '_own', v_table);
    execute format('create policy %I on jobledger.%I for select using (tenant = any ((select jobledger.my_tenants())::text[]))', v_table || '_own', v_table);
    execute format('drop policy if exists %I on jobledger.%I', v_table || '_every', v_table);
    execute format('create policy %I on jobledger.%I for select to jobledger_every_tenant using (true)', v_table || '_every', v_table);
    execute format('grant select on jobledger.%I to jobledger_reader, jobledger_operator', v_table);
  end loop;
end
$$;

grant select on jobledger.jobs, jobledger.dead_letter to jobledger_reader, jobledger_operator;
