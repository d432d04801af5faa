-- The events of the service: keys, webhooks, and the push of a queue. A value can be used only after the transaction that added it, so they come before the tables.

alter type jobledger.event_type add value 'key.created';

alter type jobledger.event_type add value 'key.revoked';

alter type jobledger.event_type add value 'webhook.created';

alter type jobledger.event_type add value 'webhook.reset';

alter type jobledger.event_type add value 'webhook.disabled';

alter type jobledger.event_type add value 'webhook.removed';

alter type jobledger.event_type add value 'queue.push_set';

alter type jobledger.event_type add value 'queue.push_removed';
