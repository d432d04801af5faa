-- The command that makes the database of one measurement; $1 its name. Utility commands take no parameters, so the
-- server quotes the name.
select format('create database %I template template0 encoding ''UTF8''', $1::text)
