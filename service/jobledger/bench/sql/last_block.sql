-- The number of the last block.
select block from jobledger.log_end(0::smallint)
