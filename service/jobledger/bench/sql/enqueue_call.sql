-- One enqueue by the SQL function, as a program in any language calls it: $1 kind, $2 arguments, $3 tenant. No race: the job is new.
select jobledger.enqueue(kind => $1::text, args => $2::jsonb, tenant => $3::text)
