-- That a webhook was given another secret is on record, too.

alter type jobledger.event_type add value 'webhook.rotated';
