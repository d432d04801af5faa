-- The events of durable subscriptions. A value can be used only after the transaction that added it, so they come before the tables.

alter type jobledger.event_type add value 'subscription.created';

alter type jobledger.event_type add value 'subscription.reset';

alter type jobledger.event_type add value 'subscription.disabled';

alter type jobledger.event_type add value 'subscription.removed';
