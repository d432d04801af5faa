-- A command of two-phase commit: $1 what (prepare transaction, commit prepared, rollback prepared), $2 the transaction's name.
select case $1 when 'prepare' then 'prepare transaction ' when 'commit' then 'commit prepared ' else 'rollback prepared ' end || quote_literal($2)
