-- Does the database say which contracts it serves? Those of the first versions do not.
select to_regprocedure('jobledger.serves(int)') is not null
