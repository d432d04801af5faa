-- Who may call what. Functions run as their owner, so EXECUTE is taken from everybody first; what is not named here is internal.
revoke all on all functions in schema jobledger from public;

grant execute on function jobledger.now(), jobledger.answered_at(), jobledger.new_id(timestamptz, int), jobledger.first_id_at(timestamptz), jobledger.time_of(uuid), jobledger.control_id(text, text, text),
  jobledger.caller(), jobledger.my_tenants(), jobledger.every_tenant(), jobledger.may(text), jobledger.is_open(smallint), jobledger.serves(int)
  to jobledger_producer, jobledger_worker, jobledger_reader, jobledger_operator;

grant execute on function jobledger.enqueue, jobledger.enqueue_job, jobledger.enqueue_many to jobledger_producer, jobledger_worker;

grant execute on function jobledger.worker_start, jobledger.worker_stop, jobledger.worker_idle, jobledger.channel, jobledger.heartbeat, jobledger.claim, jobledger.claim_hinted, jobledger.claim_job, jobledger.claimed, jobledger.report, jobledger.register_kind to jobledger_worker;

grant execute on function jobledger.tick, jobledger.open, jobledger.queue_snapshot, jobledger.open_epoch, jobledger.seal, jobledger.read_log, jobledger.sealed_between, jobledger.log_end, jobledger.own_streams, jobledger.read_own, jobledger.follow_channel, jobledger.tell_sealed, jobledger.read_events, jobledger.origins, jobledger.cursor_key, jobledger.service_key to jobledger_worker, jobledger_operator;

grant execute on function jobledger.projections_due, jobledger.projection_list, jobledger.projection_begin, jobledger.projection_make, jobledger.projection_take, jobledger.projection_stop,
  jobledger.projection_resume, jobledger.projection_swap, jobledger.projection_drop to jobledger_worker, jobledger_operator;

grant execute on function jobledger.act, jobledger.pause, jobledger.resume, jobledger.set_limit, jobledger.partitions to jobledger_operator;

grant execute on function jobledger.is_gone, jobledger.bucket_middle to jobledger_producer, jobledger_worker, jobledger_reader, jobledger_operator;

grant execute on function jobledger.counts_as_of, jobledger.tenant_status, jobledger.tenants to jobledger_reader, jobledger_worker, jobledger_operator;

grant execute on function jobledger.seen, jobledger.moment_of_token, jobledger.moment_of_place, jobledger.moment_of_time, jobledger.job_as_of, jobledger.jobs_as_of, jobledger.cursor_key to jobledger_reader, jobledger_worker, jobledger_operator;

grant execute on function jobledger.subscription_create, jobledger.subscription_take, jobledger.subscription_advance, jobledger.subscription_failed, jobledger.subscription_release,
  jobledger.subscription_again, jobledger.subscription_settled, jobledger.subscription_mend, jobledger.subscription_list, jobledger.subscription_places, jobledger.subscription_aside
  to jobledger_worker, jobledger_operator;

grant execute on function jobledger.subscription_reset, jobledger.subscription_disable, jobledger.subscription_remove, jobledger.subscription_retry to jobledger_operator;

grant execute on function jobledger.push_list to jobledger_worker, jobledger_reader, jobledger_operator;

grant execute on function jobledger.push_set, jobledger.push_remove to jobledger_operator;

grant execute on function jobledger.verify_events, jobledger.verify_rows, jobledger.verify_views, jobledger.verify_keys, jobledger.verify_blocks, jobledger.verify_unsealed to jobledger_operator;

grant execute on function jobledger.key_create, jobledger.key_find, jobledger.key_list, jobledger.key_revoke, jobledger.key_standing, jobledger.key_used to jobledger_operator;

grant execute on function jobledger.webhook_due, jobledger.webhook_succeeded, jobledger.webhook_failed to jobledger_worker, jobledger_operator;

grant execute on function jobledger.webhook_create, jobledger.webhook_reset, jobledger.webhook_disable, jobledger.webhook_rotate, jobledger.webhook_remove, jobledger.webhook_list to jobledger_operator;
