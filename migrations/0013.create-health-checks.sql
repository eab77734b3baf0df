-- depends: 0012.create-analytics-events

CREATE TABLE health_checks (
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    checked_at  timestamptz NOT NULL DEFAULT now(),
    status      text        NOT NULL,
    CONSTRAINT health_checks_pkey PRIMARY KEY (id)
);

COMMENT ON TABLE health_checks IS 'Results of health checks. Storing one proves that the database can be written to.';
