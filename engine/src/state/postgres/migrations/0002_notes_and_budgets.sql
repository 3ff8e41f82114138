-- Version 2: notes, and budgets that members share. Programs of version 1 go on with the tables as they are.

CREATE TABLE {schema}.notes (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {schema}.notes IS 'Small values that the engine keeps under a name.';

CREATE FUNCTION {schema}.set_note(in_name text, in_value bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM {schema}.be_durable();
    INSERT INTO {schema}.notes AS known (name, value) VALUES (in_name, in_value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at;
END $$;

CREATE TABLE {schema}.budgets (
    expires_at timestamptz NOT NULL,
    level double precision NOT NULL DEFAULT 0,
    level_at_ms bigint NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0,
    tills bigint[] NOT NULL DEFAULT '{}',
    counts bigint[] NOT NULL DEFAULT '{}',
    digest bytea NOT NULL,
    destination text NOT NULL,
    budget text NOT NULL,
    CONSTRAINT budgets_pkey PRIMARY KEY (digest)
) WITH (fillfactor = 50);
COMMENT ON TABLE {schema}.budgets IS 'What members have drawn from the budgets that they share.';
COMMENT ON COLUMN {schema}.budgets.digest IS
    'SipHash-1-3 with 128 bits of destination, budget, how it is counted, and when its window ends.';
COMMENT ON COLUMN {schema}.budgets.level IS 'What has been drawn from a bucket and had not flowed in again at level_at_ms.';
COMMENT ON COLUMN {schema}.budgets.used IS 'What has been drawn until a moment.';
COMMENT ON COLUMN {schema}.budgets.tills IS 'Until when what was drawn in a part of a rolling window counts, in ms since 1970.';
COMMENT ON COLUMN {schema}.budgets.counts IS 'How much that was, for each of tills.';

-- Kinds: 1 a bucket, 2 a rolling window, 3 until a moment. `in_times` has the length of a rolling window, or that
-- moment, in ms. It counts as redis/lua/draw.lua does.
CREATE FUNCTION {schema}.draw(
    in_digests bytea[], in_destinations text[], in_budgets text[], in_kinds smallint[], in_wanted bigint[],
    in_allowed bigint[], in_rates double precision[], in_times bigint[], in_parts bigint[]
) RETURNS TABLE (out_nth bigint, out_granted bigint, out_valid_ms bigint, out_again_ms bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    most CONSTANT double precision := 4503599627370496;
    century CONSTANT double precision := 3155760000000;
    moment timestamptz;
    now_ms bigint;
    made bigint;
    asked record;
    known {schema}.budgets;
    counted bigint;
    this_till bigint;
    place integer;
    keep_ms double precision;
BEGIN
    PERFORM {schema}.be_durable();
    -- All rows are locked at once, by rising digest, so that nobody waits for anybody in a circle. What is there is
    -- locked and left as it is.
    INSERT INTO {schema}.budgets (digest, destination, budget, expires_at)
    SELECT DISTINCT ON (told.digest) told.digest, told.destination, told.budget, 'infinity'::timestamptz
    FROM unnest(in_digests, in_destinations, in_budgets) AS told (digest, destination, budget)
    ORDER BY told.digest
    ON CONFLICT (digest) DO UPDATE SET expires_at = excluded.expires_at WHERE false;
    GET DIAGNOSTICS made = ROW_COUNT;
    moment := clock_timestamp();
    now_ms := floor(extract(epoch FROM moment) * 1000)::bigint;
    FOR asked IN
        SELECT * FROM unnest(in_digests, in_kinds, in_wanted, in_allowed, in_rates, in_times, in_parts) WITH ORDINALITY
            AS told (digest, kind, wanted, allowed, rate, time, part, nth)
        ORDER BY told.nth
    LOOP
        SELECT * INTO STRICT known FROM {schema}.budgets AS kept WHERE kept.digest = asked.digest;
        out_nth := asked.nth;
        out_again_ms := 0;
        keep_ms := 0;
        IF asked.kind = 1 THEN
            known.level := greatest(0, known.level - greatest(0, now_ms - known.level_at_ms) * asked.rate / 1000);
            -- A part of a millionth is what sums of fractions may be off.
            out_granted := greatest(0, least(asked.wanted, floor(asked.allowed - known.level + 0.000001)::bigint));
            out_valid_ms := 1000;
            known.level := known.level + out_granted;
            known.level_at_ms := now_ms;
            keep_ms := least(most, known.level * 1000 / asked.rate);
            IF out_granted = 0 THEN
                out_again_ms := greatest(1, least(most, ceil((known.level + 1 - asked.allowed) * 1000 / asked.rate)))::bigint;
            END IF;
        ELSIF asked.kind = 2 THEN
            SELECT coalesce(array_agg(part.till ORDER BY part.till), '{}'),
                   coalesce(array_agg(part.count ORDER BY part.till), '{}'), coalesce(sum(part.count), 0)
            INTO known.tills, known.counts, counted
            FROM unnest(known.tills, known.counts) AS part (till, count) WHERE part.till > now_ms;
            out_granted := greatest(0, least(asked.wanted, asked.allowed - counted));
            out_valid_ms := asked.part;
            IF out_granted > 0 THEN
                -- It counts until the part in which it was drawn is older than the window, and for as long as it may
                -- be made.
                this_till := (now_ms / asked.part + 1) * asked.part + asked.time + asked.part;
                place := array_position(known.tills, this_till);
                IF place IS NULL THEN
                    known.tills := known.tills || this_till;
                    known.counts := known.counts || out_granted;
                ELSE
                    known.counts[place] := known.counts[place] + out_granted;
                END IF;
            ELSE
                out_again_ms := asked.time;
                FOR nth IN 1 .. cardinality(known.tills) LOOP
                    counted := counted - known.counts[nth];
                    IF counted < asked.allowed THEN
                        out_again_ms := known.tills[nth] - now_ms;
                        EXIT;
                    END IF;
                END LOOP;
            END IF;
            SELECT coalesce(max(till), now_ms) - now_ms INTO keep_ms FROM unnest(known.tills) AS part (till);
        ELSE
            out_valid_ms := greatest(0, asked.time - now_ms);
            out_granted := CASE WHEN asked.time > now_ms
                THEN greatest(0, least(asked.wanted, asked.allowed - known.used)) ELSE 0 END;
            known.used := known.used + out_granted;
            -- A clock that goes back a little mustn't open the window again.
            keep_ms := greatest(0, asked.time - now_ms + 60000);
            IF out_granted = 0 THEN
                out_again_ms := greatest(1000, out_valid_ms);
            END IF;
        END IF;
        UPDATE {schema}.budgets AS kept
        SET level = known.level, level_at_ms = known.level_at_ms, used = known.used, tills = known.tills,
            counts = known.counts, expires_at = moment + least(keep_ms, century) * interval '1 millisecond'
        WHERE kept.digest = asked.digest;
        RETURN NEXT;
    END LOOP;
    -- Rows are few. Whoever adds one takes away some that have expired; one that is locked is still in use.
    IF made > 0 THEN
        DELETE FROM {schema}.budgets WHERE digest = ANY (ARRAY(
            SELECT kept.digest FROM {schema}.budgets AS kept
            WHERE kept.expires_at <= moment AND kept.digest <> ALL (in_digests) LIMIT 20 FOR UPDATE SKIP LOCKED));
    END IF;
END $$;
