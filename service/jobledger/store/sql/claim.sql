-- One claim: the caller's memory of its lanes goes in, jobs and what was read of each lane come out.
select * from jobledger.claim($1::smallint, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::smallint[], $12, $13, $14, $15, $16, $17, $18, $19, $20, $21::smallint[], $22, $23::smallint[], $24, $25, $26, $27)
