-- Wait only shortly for a job that another transaction holds, and give no hint, which a prepared transaction may not.
select set_config('lock_timeout', '300ms', true), set_config('jobledger.notify', 'off', true)
