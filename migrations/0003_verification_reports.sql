-- Stripe makes one report for each processed check and bills it: attempts and spend are counted here.
CREATE TABLE verification_reports (
    report_id       text        PRIMARY KEY,
    verification_id uuid        NOT NULL REFERENCES verifications (id),
    first_seen_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX verification_reports_verification_id_idx ON verification_reports (verification_id);

COMMENT ON TABLE verification_reports IS 'Verification reports by id only; their content stays at Stripe.';
COMMENT ON COLUMN verification_reports.report_id IS 'Stripe''s vr_….';
COMMENT ON COLUMN verification_reports.first_seen_at IS 'When an event or a retrieval first named it.';
COMMENT ON INDEX verification_reports_verification_id_idx IS 'Reports of one attempt.';
