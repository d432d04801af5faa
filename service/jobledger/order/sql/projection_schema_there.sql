-- Is there the schema $1?
select to_regnamespace($1::text) is not null
