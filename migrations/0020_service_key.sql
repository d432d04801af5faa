-- The key from which the service derives what it signs with: tokens, webhooks, pushed jobs. Not that of cursors, which readers of every tenant may have:
-- who only reads must not be able to sign.
insert into jobledger.secrets (name, value)
select 'service', sha512(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) from generate_series(1, 8)
on conflict do nothing;
