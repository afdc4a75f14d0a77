-- What it may cost: how often people may try, and what all of them together may spend.
ALTER TABLE users
    ADD COLUMN extra_attempts integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT users_extra_attempts_not_negative CHECK (extra_attempts >= 0);

COMMENT ON COLUMN users.extra_attempts IS 'Attempts that the operator has allowed beyond the limits, and that nobody has used yet.';

ALTER TABLE verification_reports
    ADD COLUMN livemode boolean,
    ADD COLUMN cost bigint NOT NULL DEFAULT 0;

UPDATE verification_reports r SET livemode = v.livemode
FROM verifications v WHERE v.id = r.verification_id;

ALTER TABLE verification_reports ALTER COLUMN livemode SET NOT NULL;

CREATE INDEX verification_reports_spent_idx
    ON verification_reports (livemode, first_seen_at) INCLUDE (cost);

COMMENT ON COLUMN verification_reports.livemode IS 'Of live or test mode, as its verification.';
COMMENT ON COLUMN verification_reports.cost IS 'The price of a check when it was first seen, in hundredths.';
COMMENT ON INDEX verification_reports_spent_idx IS 'What was spent since a moment: checks and money.';

CREATE TABLE reservations (
    verification_id uuid        NOT NULL REFERENCES verifications (id),
    reports         integer     NOT NULL,
    livemode        boolean     NOT NULL,
    cost            bigint      NOT NULL,
    extra           boolean     NOT NULL,
    handed_out_at   timestamptz NOT NULL,
    spent_at        timestamptz,
    released_at     timestamptz,
    PRIMARY KEY (verification_id, reports)
);

CREATE INDEX reservations_open_idx ON reservations (livemode, handed_out_at) INCLUDE (cost)
    WHERE spent_at IS NULL AND released_at IS NULL;

COMMENT ON TABLE reservations IS 'Room in the budget, taken before a secret or key is handed out. One is open while it is neither spent nor released nor older than 48 hours, which is as long as what was handed out can open Stripe''s page.';
COMMENT ON COLUMN reservations.reports IS 'How many reports the verification had: the next one turns this reservation into spend.';
COMMENT ON COLUMN reservations.cost IS 'The price of a check when it was taken, in hundredths.';
COMMENT ON COLUMN reservations.extra IS 'It stands on an attempt that the operator allowed beyond the limits.';
COMMENT ON COLUMN reservations.handed_out_at IS 'The last hand-out under it.';
COMMENT ON COLUMN reservations.spent_at IS 'When its report was first seen.';
COMMENT ON COLUMN reservations.released_at IS 'When it became certain that no report will come: canceled, redacted, gone, or never made.';
COMMENT ON INDEX reservations_open_idx IS 'What may yet be spent.';

CREATE TABLE creations (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX creations_network_idx ON creations (network, created_at);
CREATE INDEX creations_created_at_idx ON creations (created_at);

COMMENT ON TABLE creations IS 'Sessions asked of Stripe in the last hour, by network. Nothing here leads to a person.';
COMMENT ON COLUMN creations.network IS 'Keyed hash of an IPv4 address or an IPv6 /64; the key is no part of the database.';
COMMENT ON INDEX creations_network_idx IS 'Counts a network''s last hour.';
COMMENT ON INDEX creations_created_at_idx IS 'Finds what is old enough to go.';

CREATE TABLE budget_warnings (
    livemode  boolean     NOT NULL,
    period    text        NOT NULL,
    begins_at timestamptz NOT NULL,
    percent   smallint    NOT NULL,
    warned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (livemode, period, begins_at, percent),
    CONSTRAINT budget_warnings_period_known CHECK (period IN ('day', 'month'))
);

COMMENT ON TABLE budget_warnings IS 'Which warnings were given, so that each is given once in its period, whichever process gives it.';
COMMENT ON COLUMN budget_warnings.begins_at IS 'Midnight, UTC, with which the day or the month begins.';
COMMENT ON COLUMN budget_warnings.percent IS 'How much of the budget was reserved or spent.';
