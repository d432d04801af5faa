-- Refuse a payload over its limit (bytes of its JSON text) before anything is written. The binary size is cheap and tells when the text need not be made:
-- text is at most six times as long (an escaped control character). Of what comes from a table it may be that of its compressed form, which tells nothing.
create or replace function jobledger.check_size(p_what text, p_value jsonb, p_limit int) returns void
language plpgsql immutable
as $$
begin
  if (pg_column_size(p_value) * 8 > p_limit or pg_column_compression(p_value) is not null) and octet_length(p_value::text) > p_limit then
    perform jobledger.refuse('JL105', format('%s has %s bytes of JSON; the limit is %s.', p_what, octet_length(p_value::text), p_limit),
      'Store the payload elsewhere and pass a reference, or raise the limit of the service.', jsonb_build_object('limit', p_limit, 'field', p_what));
  end if;
end
$$;
