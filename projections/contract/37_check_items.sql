-- Refuse a bulk call with items that cannot be read: no object, or a field that is no number, moment, list or id. Postgres's own error would quote the value, and
-- name no item. Only items with such a field are read twice; what catches the error writes nothing, so it costs no transaction id.
create or replace function jobledger.check_items(p_jobs jsonb) returns void
language plpgsql stable
as $$
declare
  v_item record;
  v_wrong int[] := '{}';
begin
  if not exists (select from jsonb_array_elements(p_jobs) as j
      where jsonb_typeof(j) <> 'object' or j ?| '{priority,run_at,kill_at,timeout,max_attempts,tags,id}') then
    return;
  end if;
  begin
    perform from jsonb_to_recordset(p_jobs) as (priority int, run_at timestamptz, kill_at timestamptz, timeout int, max_attempts int, tags text[], id uuid);
    return;
  exception when data_exception then
    null;
  end;
  for v_item in select j.value, j.n::int - 1 as ord from jsonb_array_elements(p_jobs) with ordinality as j (value, n) loop
    begin
      perform from jsonb_to_recordset(jsonb_build_array(v_item.value)) as (priority int, run_at timestamptz, kill_at timestamptz, timeout int, max_attempts int, tags text[], id uuid);
    exception when data_exception then
      v_wrong := v_wrong || v_item.ord;
    end;
  end loop;
  perform jobledger.refuse('JL101', format('Item %s: a job is an object; priority, timeout and max_attempts are whole numbers, run_at and kill_at timestamps, tags a list, id a uuid.', v_wrong[1]),
    'All or nothing: nothing was written.', jsonb_build_object('items', to_jsonb(v_wrong)));
end
$$;
