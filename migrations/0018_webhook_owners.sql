-- A webhook's name is its owner's own: another owner of the tenant must not learn by a refusal that somebody has it. Empty: of the whole tenant, or of everybody.

alter table jobledger.webhooks add column owner text collate "C" not null default '';

alter table jobledger.webhooks drop constraint webhooks_shard_tenant_name_key;

alter table jobledger.webhooks add unique (shard, tenant, owner, name);
