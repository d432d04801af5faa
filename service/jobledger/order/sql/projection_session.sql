-- How the rest of this transaction runs: $1 the schema that unqualified names mean, $2 the limit of a statement, $3 that of a lock, $4 whether its commit waits for the disk.
-- A crash that loses an unwaited commit loses tables and checkpoint together.
select set_config('search_path', $1::text || ', pg_catalog, pg_temp', true), set_config('statement_timeout', $2::text, true), set_config('lock_timeout', $3::text, true),
  set_config('synchronous_commit', $4::text, true), set_config('jit', 'off', true), set_config('work_mem', '64MB', true)
