-- An endpoint's worker looks at what is due there, and at nothing that waits elsewhere. The table holds only what waits, so
-- this is built at once; the version before is served by it too.
CREATE INDEX outbox_deliveries_endpoint_due_at_idx ON outbox_deliveries (endpoint, due_at) WHERE dead_at IS NULL;
DROP INDEX outbox_deliveries_due_idx;

COMMENT ON INDEX outbox_deliveries_endpoint_due_at_idx IS 'What is to be delivered next.';
