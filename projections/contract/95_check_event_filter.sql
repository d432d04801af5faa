-- Refuse what is no filter of events: types, queue, kind and owner, and nothing else.
create or replace function jobledger.check_event_filter(p_filter jsonb) returns void
language plpgsql stable
as $$
begin
  if jsonb_typeof(p_filter) <> 'object' or exists (select from jsonb_each(p_filter) as f where not case f.key
      when 'types' then case when jsonb_typeof(f.value) = 'array' then jsonb_array_length(f.value) between 1 and 100
        and not exists (select from jsonb_array_elements(f.value) as t where jsonb_typeof(t) <> 'string' or not (t #>> '{}' = any (enum_range(null::jobledger.event_type)::text[]))) else false end
      when 'queue' then jsonb_typeof(f.value) = 'string' and jobledger.is_name(f.value #>> '{}')
      when 'kind' then jsonb_typeof(f.value) = 'string' and jobledger.is_name(f.value #>> '{}')
      when 'owner' then jsonb_typeof(f.value) = 'string' and length(f.value #>> '{}') between 1 and 256 else false end) then
    perform jobledger.refuse('JL101', 'A filter has types (1 to 100 names of events), queue and kind (names) and owner (1 to 256 characters), and nothing else.', 'Nothing was changed; mend the call.');
  end if;
end
$$;
