-- Tables of version 1. `{schema}` is replaced by the schema's quoted name.

CREATE TABLE {schema}.migrations (
    syncline_version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}.migrations IS 'Which versions of these tables have been put in place, by Syncline.';

CREATE TABLE {schema}.tokens (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    last bigint NOT NULL
);
COMMENT ON TABLE {schema}.tokens IS 'The fencing token that was given last.';
INSERT INTO {schema}.tokens (last) VALUES (0);

-- Wide columns first, eight of them in all, so that neither padding nor a longer bitmap of nulls costs anything: a key
-- that is done takes 68 bytes. Room is left in each page for the step from claimed to done, which then leaves the
-- index alone.
CREATE TABLE {schema}.keys (
    expires_at timestamptz NOT NULL,
    lease_until timestamptz,
    token bigint,
    delivery bigint,
    fingerprint bigint,
    state smallint NOT NULL,
    digest bytea NOT NULL,
    partition text,
    CONSTRAINT keys_pkey PRIMARY KEY (digest)
) WITH (fillfactor = 65, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1,
        autovacuum_analyze_scale_factor = 0.1);
COMMENT ON TABLE {schema}.keys IS 'Idempotency keys in destinations.';
COMMENT ON COLUMN {schema}.keys.digest IS 'SipHash-1-3 with 128 bits of the destination and the key.';
COMMENT ON COLUMN {schema}.keys.state IS '1 claimed, 2 claimed and in doubt, 3 in doubt, 4 done.';
COMMENT ON COLUMN {schema}.keys.token IS 'With delivery: who has the claim.';
COMMENT ON COLUMN {schema}.keys.partition IS 'Where the holder of the claim has read the record: topic[partition].';
COMMENT ON COLUMN {schema}.keys.fingerprint IS 'Of the event that has taken effect.';

-- No index but the primary key, so that a change touches the row's own page alone.
CREATE TABLE {schema}.entities (
    changed_at timestamptz NOT NULL,
    fingerprint bigint,
    digest bytea NOT NULL,
    last_key bytea,
    destination text NOT NULL,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    version text,
    remote_id text,
    parked bytea[] NOT NULL DEFAULT '{}',
    CONSTRAINT entities_pkey PRIMARY KEY (digest)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
COMMENT ON TABLE {schema}.entities IS
    'What is known of entities in destinations. In texts, U+0000 is written as U+001A 0, and U+001A as U+001A 1.';
COMMENT ON COLUMN {schema}.entities.digest IS 'SipHash-1-3 with 128 bits of destination, type and id, which may be long.';
COMMENT ON COLUMN {schema}.entities.remote_id IS 'The id in the destination''s CRM.';
COMMENT ON COLUMN {schema}.entities.version IS 'The version that was applied last.';
COMMENT ON COLUMN {schema}.entities.fingerprint IS 'Of the event that was applied last.';
COMMENT ON COLUMN {schema}.entities.parked IS 'Keys of its events that lie in the dead letter queue and hold later ones back.';
COMMENT ON COLUMN {schema}.entities.last_key IS 'The key of the event that has changed this row last.';

-- How far the removal of what has expired has come in each table, so that many instances share the work.
CREATE TABLE {schema}.sweeps (
    name text PRIMARY KEY,
    next_block bigint NOT NULL DEFAULT 0,
    begins_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}.sweeps IS 'How far the removal of what has expired has come.';
INSERT INTO {schema}.sweeps (name) VALUES ('keys'), ('entities');
