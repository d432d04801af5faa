-- What "the same request" means for an idempotency key: kind, queue, arguments and owner.
create or replace function jobledger.content_hash(p_kind text, p_queue text, p_args jsonb, p_owner text) returns bytea
language sql stable
as $$
  select pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(p_kind, p_queue, p_args, p_owner)::text, 'UTF8'))
$$;
