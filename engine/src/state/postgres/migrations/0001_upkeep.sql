-- Removing what has expired, and taking in what another store remembers.

-- Removes what has expired from the next blocks of a table, if its turn has come and nobody else does so just now.
-- Rows that are locked are left for the next turn, so that this never waits for anybody.
CREATE FUNCTION {schema}.sweep(
    in_name text, in_blocks bigint, in_entity_ttl_ms bigint, in_period_ms bigint
) RETURNS TABLE (out_removed bigint, out_more boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    sweep {schema}.sweeps;
    first tid;
    behind tid;
    moment timestamptz := clock_timestamp();
    blocks bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO sweep FROM {schema}.sweeps AS known
    WHERE known.name = in_name AND known.begins_at <= moment FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 0::bigint, false;
        RETURN;
    END IF;
    first := format('(%s,0)', sweep.next_block)::tid;
    behind := format('(%s,0)', sweep.next_block + in_blocks)::tid;
    IF in_name = 'keys' THEN
        DELETE FROM {schema}.keys WHERE ctid = ANY (ARRAY(
            SELECT known.ctid FROM {schema}.keys AS known
            WHERE known.ctid >= first AND known.ctid < behind AND known.expires_at <= moment
            FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS out_removed = ROW_COUNT;
        blocks := pg_relation_size('{schema}.keys') / current_setting('block_size')::bigint;
    ELSE
        -- One that holds later events back stays until they have been dealt with.
        DELETE FROM {schema}.entities WHERE ctid = ANY (ARRAY(
            SELECT known.ctid FROM {schema}.entities AS known
            WHERE known.ctid >= first AND known.ctid < behind AND known.parked = '{}'
              AND known.changed_at <= moment - in_entity_ttl_ms * interval '1 millisecond'
            FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS out_removed = ROW_COUNT;
        blocks := pg_relation_size('{schema}.entities') / current_setting('block_size')::bigint;
    END IF;
    out_more := sweep.next_block + in_blocks < blocks;
    UPDATE {schema}.sweeps AS known
    SET next_block = CASE WHEN out_more THEN sweep.next_block + in_blocks ELSE 0 END,
        begins_at = CASE WHEN out_more THEN known.begins_at
                         ELSE moment + in_period_ms * interval '1 millisecond' END
    WHERE known.name = in_name;
    RETURN NEXT;
END $$;

-- Nothing becomes less certain: what is done stays done, and what someone has claimed stays claimed. No key may come
-- twice.
CREATE FUNCTION {schema}.import_keys(in_digests bytea[], in_fingerprints bigint[], in_expires_in_ms bigint[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM {schema}.be_durable();
    INSERT INTO {schema}.keys AS known (digest, state, fingerprint, expires_at)
    SELECT told.digest, CASE WHEN told.fingerprint IS NULL THEN 3 ELSE 4 END, told.fingerprint,
           clock_timestamp() + told.expires_in_ms * interval '1 millisecond'
    FROM unnest(in_digests, in_fingerprints, in_expires_in_ms) AS told (digest, fingerprint, expires_in_ms)
    ORDER BY told.digest
    ON CONFLICT (digest) DO UPDATE SET
        state = CASE
            WHEN known.state = 4 AND known.expires_at > clock_timestamp() OR excluded.state = 4 THEN 4
            WHEN known.state IN (1, 2) THEN 2
            ELSE 3
        END,
        fingerprint = CASE WHEN known.state = 4 AND known.expires_at > clock_timestamp() THEN known.fingerprint
                           ELSE excluded.fingerprint END,
        expires_at = greatest(known.expires_at, excluded.expires_at),
        token = CASE WHEN excluded.state = 3 THEN known.token END,
        delivery = CASE WHEN excluded.state = 3 THEN known.delivery END,
        partition = CASE WHEN excluded.state = 3 THEN known.partition END,
        lease_until = CASE WHEN excluded.state = 3 THEN known.lease_until END;
END $$;

-- `in_parked` holds the digests of each entity one behind the other. No entity may come twice.
CREATE FUNCTION {schema}.import_entities(
    in_digests bytea[], in_destinations text[], in_types text[], in_ids text[], in_versions text[],
    in_remote_ids text[], in_fingerprints bigint[], in_parked bytea[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM {schema}.be_durable();
    INSERT INTO {schema}.entities AS known
        (digest, changed_at, destination, entity_type, entity_id, version, remote_id, fingerprint, parked)
    SELECT told.digest, clock_timestamp(), told.destination, told.entity_type, told.entity_id, told.version,
           told.remote_id, told.fingerprint,
           ARRAY(SELECT substring(told.parked FROM nth * 16 + 1 FOR 16)
                 FROM generate_series(0, length(told.parked) / 16 - 1) AS nth)
    FROM unnest(in_digests, in_destinations, in_types, in_ids, in_versions, in_remote_ids, in_fingerprints, in_parked)
        AS told (digest, destination, entity_type, entity_id, version, remote_id, fingerprint, parked)
    ORDER BY told.digest
    ON CONFLICT (digest) DO UPDATE SET
        changed_at = excluded.changed_at, last_key = NULL, version = excluded.version, remote_id = excluded.remote_id,
        fingerprint = excluded.fingerprint, parked = excluded.parked;
END $$;
