-- People, as the host application names them.
CREATE TABLE users (
    id          uuid        PRIMARY KEY,
    realm       text        NOT NULL,
    external_id text        NOT NULL,
    email       text,
    status      text        NOT NULL DEFAULT 'none',
    verified_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_realm_external_id_key UNIQUE (realm, external_id),
    CONSTRAINT users_status_known
        CHECK (status IN ('none', 'requires_input', 'processing', 'verified', 'canceled'))
);

COMMENT ON TABLE users IS 'People to verify. The row is locked before any of the person''s verifications is read or changed.';
COMMENT ON COLUMN users.realm IS 'Who vouches for external_id; the pair is unique.';
COMMENT ON COLUMN users.external_id IS 'The host application''s own name for the person.';
COMMENT ON COLUMN users.email IS 'Optional; passed to Stripe when known.';
COMMENT ON COLUMN users.status IS 'Derived from the person''s verifications in the transaction that changes them.';
COMMENT ON COLUMN users.verified_at IS 'Second of the observation that verified the person; null again after a demotion.';
COMMENT ON COLUMN users.updated_at IS 'When status last changed.';
COMMENT ON INDEX users_realm_external_id_key IS 'Finds a person by the host application''s name; one row each.';
