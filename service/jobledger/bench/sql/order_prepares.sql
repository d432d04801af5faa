-- Whether this server prepares transactions.
select current_setting('max_prepared_transactions')::int > 0
