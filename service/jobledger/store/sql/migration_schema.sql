-- The schema, made by whoever migrates first. Asked for before it is made: `if not exists` wants the right to create even where it exists.
do $$
begin
  if pg_catalog.to_regnamespace('jobledger') is null then
    create schema jobledger;
  end if;
end
$$
