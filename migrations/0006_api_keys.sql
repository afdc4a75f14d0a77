-- What an application's backend signs its calls with, and the answers it may ask for twice.
CREATE TABLE api_keys (
    id           uuid        PRIMARY KEY,
    name         text        NOT NULL,
    token_hash   bytea       NOT NULL,
    livemode     boolean     NOT NULL,
    scopes       text[]      NOT NULL,
    return_to    text[]      NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_keys_token_hash_key UNIQUE (token_hash),
    CONSTRAINT api_keys_scopes_known
        CHECK (scopes <@ ARRAY['verifications:read', 'verifications:write', 'verifications:manage'])
);

COMMENT ON TABLE api_keys IS 'Keys of applications. A key is shown once, when it is made; only its hash is kept.';
COMMENT ON COLUMN api_keys.name IS 'What the operator calls it.';
COMMENT ON COLUMN api_keys.token_hash IS 'SHA-256 of the whole key, which is random and long: no salt is needed.';
COMMENT ON COLUMN api_keys.livemode IS 'A vg_live_… key works on a server with live keys of Stripe''s, a vg_test_… key on one with test keys.';
COMMENT ON COLUMN api_keys.scopes IS 'What it may do.';
COMMENT ON COLUMN api_keys.return_to IS 'Origins and app schemes that people may be sent back to.';
COMMENT ON COLUMN api_keys.expires_at IS 'Null: never.';
COMMENT ON COLUMN api_keys.revoked_at IS 'Revoked keys are kept: hand-offs and audit lines name them.';
COMMENT ON COLUMN api_keys.last_used_at IS 'To the minute: a write for each call would cost more than it tells.';
COMMENT ON INDEX api_keys_token_hash_key IS 'Finds a key by what the caller shows.';

CREATE TABLE idempotency_keys (
    api_key_id   uuid        NOT NULL REFERENCES api_keys (id),
    key_hash     bytea       NOT NULL,
    request_hash bytea       NOT NULL,
    holder       uuid        NOT NULL,
    lease_until  timestamptz NOT NULL,
    resource_id  uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (api_key_id, key_hash)
);

CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

COMMENT ON TABLE idempotency_keys IS 'Creating calls by their Idempotency-Key, so that a repeated call makes nothing twice.';
COMMENT ON COLUMN idempotency_keys.key_hash IS 'SHA-256 of the header: callers put all sorts of things into it.';
COMMENT ON COLUMN idempotency_keys.request_hash IS 'SHA-256 of the call and what was asked; another request under the same key is refused.';
COMMENT ON COLUMN idempotency_keys.holder IS 'Which request works on it.';
COMMENT ON COLUMN idempotency_keys.lease_until IS 'Until when nobody else may; a request that died leaves it to run out.';
COMMENT ON COLUMN idempotency_keys.resource_id IS 'What the call made; null while it runs.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'A key is forgotten a day later.';
COMMENT ON INDEX idempotency_keys_created_at_idx IS 'Finds what is old enough to go.';

CREATE INDEX verifications_status_idx ON verifications (status, id);
COMMENT ON INDEX verifications_status_idx IS 'Lists of the API by status, newest first.';
