-- Pause the tenants whose names are $1 and a number from $2 to $3.
select count(jobledger.pause(0::smallint, 'tenant', $1::text || n, 'bench', 'measured beside')) from generate_series($2::int, $3::int) as n
