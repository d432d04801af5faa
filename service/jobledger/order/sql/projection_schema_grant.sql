-- Let readers look into a projection's schema, written in as $1: what they may read of it, its own grants say.
grant usage on schema $1 to jobledger_reader, jobledger_operator, jobledger_worker
