-- How long the oldest delivery has waited, and how many were given up, is asked every second, also of a table that an
-- endpoint which is away for days has let grow. The table holds only what waits, so these are built at once.
CREATE INDEX outbox_deliveries_waiting_idx ON outbox_deliveries (created_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_deliveries_dead_idx ON outbox_deliveries (endpoint) WHERE dead_at IS NOT NULL;

COMMENT ON INDEX outbox_deliveries_waiting_idx IS 'Since when the oldest waits.';
COMMENT ON INDEX outbox_deliveries_dead_idx IS 'What was given up.';
