-- What applications are told: every message is written in the transaction of the change it tells of.
ALTER TABLE users ADD COLUMN sequence bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN users.sequence IS 'How many messages there were about this person; each has the number it made.';

CREATE TABLE outbox (
    id              uuid        PRIMARY KEY,
    user_id         uuid        NOT NULL REFERENCES users (id),
    sequence        bigint      NOT NULL,
    livemode        boolean     NOT NULL,
    type            text        NOT NULL,
    data            jsonb       NOT NULL,
    transaction     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_user_id_sequence_key UNIQUE (user_id, sequence),
    CONSTRAINT outbox_type_known CHECK (type IN (
        'verification.verified', 'verification.requires_input', 'verification.processing',
        'verification.canceled', 'verification.redacted', 'user.status_changed'))
);

CREATE INDEX outbox_transaction_idx ON outbox (transaction, id);

COMMENT ON TABLE outbox IS 'Messages to applications, fetched or delivered. States merged away before a commit are told of by none.';
COMMENT ON COLUMN outbox.id IS 'Ascending within a transaction; shown as msg_….';
COMMENT ON COLUMN outbox.sequence IS 'Numbers a person''s messages from one, without a gap.';
COMMENT ON COLUMN outbox.livemode IS 'Of live or test mode.';
COMMENT ON COLUMN outbox.data IS 'The whole state as of the change: ids, statuses, codes and times.';
COMMENT ON COLUMN outbox.transaction IS 'Which transaction wrote it: whoever fetches by it alone cannot miss one that commits late.';
COMMENT ON INDEX outbox_user_id_sequence_key IS 'A person''s messages in order; each number once.';
COMMENT ON INDEX outbox_transaction_idx IS 'The order in which messages are fetched.';

CREATE TABLE outbox_deliveries (
    endpoint      text        NOT NULL,
    user_id       uuid        NOT NULL,
    sequence      bigint      NOT NULL,
    message_id    uuid        NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    tries         integer     NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT now(),
    claimed_by    integer,
    claimed_until timestamptz,
    failure       text,
    dead_at       timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (endpoint, user_id, sequence)
);

CREATE INDEX outbox_deliveries_due_idx ON outbox_deliveries (due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_deliveries_message_id_idx ON outbox_deliveries (message_id);

COMMENT ON TABLE outbox_deliveries IS 'Messages that an endpoint has yet to take. A row goes when it has; dead ones stay until they are replayed.';
COMMENT ON COLUMN outbox_deliveries.endpoint IS 'Its name in the configuration.';
COMMENT ON COLUMN outbox_deliveries.user_id IS 'Of the message: a person''s messages reach an endpoint in order.';
COMMENT ON COLUMN outbox_deliveries.sequence IS 'Of the message: only the first that waits can be delivered.';
COMMENT ON COLUMN outbox_deliveries.tries IS 'How often it was tried in vain; sets the backoff.';
COMMENT ON COLUMN outbox_deliveries.due_at IS 'When it is tried next.';
COMMENT ON COLUMN outbox_deliveries.claimed_by IS 'Which worker is delivering it; it holds an advisory lock for as long as it is there.';
COMMENT ON COLUMN outbox_deliveries.claimed_until IS 'Until when nobody else may; longer than any delivery may take.';
COMMENT ON COLUMN outbox_deliveries.failure IS 'A word for how the last try failed.';
COMMENT ON COLUMN outbox_deliveries.dead_at IS 'When it was given up.';
COMMENT ON INDEX outbox_deliveries_due_idx IS 'What is to be delivered next.';
COMMENT ON INDEX outbox_deliveries_message_id_idx IS 'Goes with its message.';
