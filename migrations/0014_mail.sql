-- People are told by e-mail, too: deliveries like any other, to an endpoint of a name that no endpoint may have.
COMMENT ON COLUMN outbox_deliveries.endpoint IS 'Its name in the configuration; mail for an e-mail to the person.';
