-- One row of the bare insert: $1 id, $2 kind, $3 arguments, $4 tenant. No race: the id is new.
insert into jobledger.bench_bare (id, kind, args, tenant) values ($1::uuid, $2::text, $3::jsonb, $4::text)
