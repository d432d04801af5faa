-- Is anybody at the other end of the line?
select 1
