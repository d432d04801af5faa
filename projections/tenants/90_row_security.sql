-- The tenant wall over what is counted, for who reads it directly (the views ask as their caller). Where slices end is everybody's, and nobody reads it.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['levels', 'past_levels', 'delayed', 'due', 'minutes', 'hours'] loop
    execute format('alter table %I enable row level security', v_table);
    execute format('create policy %I on %I for select using (tenant = any ((select jobledger.my_tenants())::text[]))', v_table || '_own', v_table);
    execute format('create policy %I on %I for select to jobledger_every_tenant using (true)', v_table || '_every', v_table);
  end loop;
  execute format('grant usage on schema %I to jobledger_reader, jobledger_operator', current_schema());
end
$$;

grant select on levels, minutes, hours, outcomes, durations to jobledger_reader, jobledger_operator;
