-- Claims, completions and releases, each of a whole batch. They follow engine/src/state/rules.rs.
--
-- Order: rows are locked by rising digest, keys before entities, so that concurrent batches don't wait for each other
-- in a circle. Within a round no key and no entity comes twice; rounds are played one after the other, as the items
-- stand in the batch.
--
-- Plans: they are made once for a session, perhaps while the tables are still empty, and have to be good when they are
-- large; so everything but a look-up by the index is ruled out.

-- What this transaction changes has to be on disk before it is answered, whatever the database's default is.
CREATE FUNCTION {schema}.be_durable() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

CREATE FUNCTION {schema}.next_token() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given bigint;
BEGIN
    PERFORM {schema}.be_durable();
    -- The time lets tokens rise even when the database was put back to an older state.
    UPDATE {schema}.tokens
    SET last = greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    RETURNING last INTO given;
    RETURN given;
END $$;

-- Answers: 0 held by another, 1 granted, 2 granted and in doubt, 3 fenced, 4 done.
CREATE FUNCTION {schema}.claim(
    in_digests bytea[], in_entities bytea[], in_tokens bigint[], in_deliveries bigint[], in_partitions text[],
    in_rounds integer[], in_lease_ms bigint, in_ttl_ms bigint
) RETURNS TABLE (
    out_nth bigint, out_answer smallint, out_key_fingerprint bigint,
    out_remote_id text, out_version text, out_fingerprint bigint, out_parked integer
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    lease interval := in_lease_ms * interval '1 millisecond';
    remembered interval := (in_lease_ms + in_ttl_ms) * interval '1 millisecond';
BEGIN
    -- A claim that a crash undoes would leave no doubt behind about what its holder may have sent.
    PERFORM {schema}.be_durable();
    -- A second round would begin again with low digests, while the first one's rows are locked.
    IF in_rounds[cardinality(in_rounds)] > 1 THEN
        PERFORM 1 FROM {schema}.keys AS known WHERE known.digest = ANY (in_digests) ORDER BY known.digest FOR UPDATE;
    END IF;
    FOR this_round IN 1 .. coalesce(in_rounds[cardinality(in_rounds)], 0) LOOP
        INSERT INTO {schema}.keys AS known (digest, state, token, delivery, partition, lease_until, expires_at)
        SELECT asked.digest, 1, asked.token, asked.delivery, asked.partition,
               clock_timestamp() + lease, clock_timestamp() + remembered
        FROM unnest(in_digests, in_tokens, in_deliveries, in_partitions, in_rounds)
            AS asked (digest, token, delivery, partition, round)
        WHERE asked.round = this_round
        ORDER BY asked.digest
        ON CONFLICT (digest) DO UPDATE SET
            state = CASE
                WHEN known.state IN (3, 4) AND known.expires_at <= clock_timestamp() THEN 1
                WHEN known.state IN (1, 2) AND known.token = excluded.token AND known.delivery = excluded.delivery
                    THEN known.state
                ELSE 2
            END,
            token = excluded.token, delivery = excluded.delivery, partition = excluded.partition,
            lease_until = clock_timestamp() + lease, expires_at = clock_timestamp() + remembered, fingerprint = NULL
        WHERE CASE
            WHEN known.state = 4 THEN known.expires_at <= clock_timestamp()
            WHEN known.state = 3 THEN true
            WHEN known.token = excluded.token AND known.delivery = excluded.delivery THEN true
            WHEN known.partition = excluded.partition AND known.token <> excluded.token
                THEN known.token < excluded.token
            ELSE known.lease_until <= clock_timestamp()
        END;

        -- All these rows are locked now; who has them is the answer.
        RETURN QUERY
        SELECT asked.nth,
               CASE
                   WHEN mine.yes THEN known.state
                   WHEN known.state = 4 THEN 4
                   WHEN known.partition = asked.partition AND known.token > asked.token THEN 3
                   ELSE 0
               END::smallint,
               known.fingerprint, entity.remote_id, entity.version, entity.fingerprint,
               -- An event that comes again isn't held back by its own letter.
               coalesce(cardinality(array_remove(entity.parked, asked.digest)), 0)
        FROM unnest(in_digests, in_entities, in_tokens, in_deliveries, in_partitions, in_rounds) WITH ORDINALITY
            AS asked (digest, entity, token, delivery, partition, round, nth)
        LEFT JOIN {schema}.keys AS known ON known.digest = asked.digest
        CROSS JOIN LATERAL (
            SELECT known.state IN (1, 2) AND known.token = asked.token AND known.delivery = asked.delivery
        ) AS mine (yes)
        LEFT JOIN {schema}.entities AS entity ON entity.digest = asked.entity AND mine.yes
        WHERE asked.round = this_round;
    END LOOP;
END $$;

-- Endings: 1 applied, 2 parked, 3 parked in doubt, 4 unparked.
CREATE FUNCTION {schema}.complete(
    in_digests bytea[], in_tokens bigint[], in_deliveries bigint[], in_endings smallint[], in_fingerprints bigint[],
    in_entities bytea[], in_destinations text[], in_types text[], in_ids text[], in_versions text[],
    in_remote_ids text[], in_rounds integer[], in_ttl_ms bigint
) RETURNS TABLE (out_nth bigint, out_stored boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    remembered interval := in_ttl_ms * interval '1 millisecond';
    nths bigint[];
    stored boolean[];
    expected bigint;
    written bigint;
BEGIN
    PERFORM {schema}.be_durable();
    PERFORM 1 FROM {schema}.keys AS known WHERE known.digest = ANY (in_digests) ORDER BY known.digest FOR UPDATE;
    IF in_rounds[cardinality(in_rounds)] > 1 THEN
        PERFORM 1 FROM {schema}.entities AS known WHERE known.digest = ANY (in_entities)
        ORDER BY known.digest FOR UPDATE;
    END IF;
    FOR this_round IN 1 .. coalesce(in_rounds[cardinality(in_rounds)], 0) LOOP
        WITH item AS MATERIALIZED (
            SELECT told.*, known.digest IS NOT NULL AS is_known,
                   coalesce(known.state = 4 AND known.expires_at > clock_timestamp(), false) AS is_done,
                   coalesce(known.state IN (1, 2), false) AS is_claimed,
                   coalesce(known.state IN (1, 2) AND known.token = told.token AND known.delivery = told.delivery, false)
                       AS is_held
            FROM unnest(in_digests, in_tokens, in_deliveries, in_endings, in_fingerprints, in_entities, in_destinations,
                        in_types, in_ids, in_versions, in_remote_ids, in_rounds) WITH ORDINALITY
                AS told (digest, token, delivery, ending, fingerprint, entity, destination, entity_type, entity_id,
                         version, remote_id, round, nth)
            LEFT JOIN {schema}.keys AS known ON known.digest = told.digest
            WHERE told.round = this_round
        ), judged AS MATERIALIZED (
            SELECT item.*, NOT is_done AND NOT is_held AND (ending = 1 OR is_claimed) AS is_fenced FROM item
        ), change AS MATERIALIZED (
            SELECT * FROM judged WHERE NOT is_fenced AND NOT is_done
        ), done AS (
            UPDATE {schema}.keys AS known
            SET state = 4, fingerprint = change.fingerprint, expires_at = clock_timestamp() + remembered,
                token = NULL, delivery = NULL, partition = NULL, lease_until = NULL
            FROM change
            WHERE change.ending = 1 AND known.digest = change.digest AND known.state IN (1, 2)
              AND known.token = change.token AND known.delivery = change.delivery
            RETURNING 1
        ), gone AS (
            DELETE FROM {schema}.keys AS known USING change
            WHERE change.ending IN (2, 4) AND change.is_known AND known.digest = change.digest
              AND (known.state IN (3, 4) OR known.token = change.token AND known.delivery = change.delivery)
            RETURNING 1
        ), doubted AS (
            INSERT INTO {schema}.keys AS known (digest, state, token, delivery, expires_at)
            SELECT digest, 3, token, delivery, clock_timestamp() + remembered
            FROM change WHERE ending = 3 ORDER BY digest
            ON CONFLICT (digest) DO UPDATE
            SET state = 3, fingerprint = NULL, expires_at = excluded.expires_at,
                token = NULL, delivery = NULL, partition = NULL, lease_until = NULL
            WHERE known.state = 3 OR known.state = 4 AND known.expires_at <= clock_timestamp()
               OR known.state IN (1, 2) AND known.token = excluded.token AND known.delivery = excluded.delivery
            RETURNING 1
        ), changed AS (
            INSERT INTO {schema}.entities AS entity
                (digest, changed_at, last_key, destination, entity_type, entity_id, version, remote_id, fingerprint, parked)
            SELECT entity, clock_timestamp(), digest, destination, entity_type, entity_id,
                   CASE WHEN ending = 1 THEN version END, CASE WHEN ending = 1 THEN remote_id END,
                   CASE WHEN ending = 1 THEN fingerprint END,
                   CASE WHEN ending IN (2, 3) THEN ARRAY[digest] ELSE '{}' END
            FROM judged
            WHERE entity IS NOT NULL AND NOT is_fenced AND (ending = 4 OR NOT is_done)
            ORDER BY entity
            ON CONFLICT (digest) DO UPDATE SET
                changed_at = excluded.changed_at, last_key = excluded.last_key,
                -- An applied event alone has a fingerprint, and a parked one alone itself as parked.
                version = CASE WHEN excluded.fingerprint IS NULL THEN entity.version
                               ELSE coalesce(excluded.version, entity.version) END,
                remote_id = CASE WHEN excluded.fingerprint IS NULL THEN entity.remote_id ELSE excluded.remote_id END,
                fingerprint = coalesce(excluded.fingerprint, entity.fingerprint),
                parked = array_remove(entity.parked, excluded.last_key) || excluded.parked
        )
        SELECT array_agg(nth), array_agg(NOT is_fenced),
               count(*) FILTER (WHERE NOT is_fenced AND NOT is_done AND (ending IN (1, 3) OR is_known)),
               (SELECT count(*) FROM done) + (SELECT count(*) FROM gone) + (SELECT count(*) FROM doubted)
        INTO nths, stored, expected, written FROM judged;

        IF written <> expected THEN
            RAISE EXCEPTION 'a key was claimed by another session meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
        RETURN QUERY SELECT * FROM unnest(nths, stored);
    END LOOP;
END $$;

-- No key may come twice with one holder.
CREATE FUNCTION {schema}.release(
    in_digests bytea[], in_tokens bigint[], in_deliveries bigint[], in_doubts boolean[], in_ttl_ms bigint
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    -- What a crash undoes ends with its lease, in doubt: late, and never wrong.
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM 1 FROM {schema}.keys AS known WHERE known.digest = ANY (in_digests) ORDER BY known.digest FOR UPDATE;
    DELETE FROM {schema}.keys AS known
    USING unnest(in_digests, in_tokens, in_deliveries, in_doubts) AS told (digest, token, delivery, in_doubt)
    WHERE known.digest = told.digest AND NOT told.in_doubt
      AND known.state IN (1, 2) AND known.token = told.token AND known.delivery = told.delivery;
    UPDATE {schema}.keys AS known
    SET state = 3, expires_at = clock_timestamp() + in_ttl_ms * interval '1 millisecond',
        token = NULL, delivery = NULL, partition = NULL, lease_until = NULL
    FROM unnest(in_digests, in_tokens, in_deliveries, in_doubts) AS told (digest, token, delivery, in_doubt)
    WHERE known.digest = told.digest AND told.in_doubt
      AND known.state IN (1, 2) AND known.token = told.token AND known.delivery = told.delivery;
END $$;
