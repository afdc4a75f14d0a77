-- What is old goes. Other tables are read from their oldest end by keys that ascend with time; the ids of events do not.
-- Writing waits while this is built, a second or so for a million events: deliveries meanwhile wait, or come again.
CREATE INDEX stripe_events_received_at_idx ON stripe_events (received_at);

COMMENT ON INDEX stripe_events_received_at_idx IS 'Finds what is old enough to go. It grows at one end only, which costs a delivery little.';
