-- Whether any measured job is still open. Three probes, no count; what lies beside has tenants of other names.
select exists (select from jobledger.ready where tenant >= 'tenant-' and tenant < 'tenant.')
  or exists (select from jobledger.running where tenant >= 'tenant-' and tenant < 'tenant.')
  or exists (select from jobledger.waiting where tenant >= 'tenant-' and tenant < 'tenant.')
