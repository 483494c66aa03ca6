-- Starting, cancelling and moving runs from plain SQL. These functions are public: arguments are
-- added at the end, never renamed or removed. They act with the rights of the role that migrated,
-- so a caller needs nothing but USAGE on the schema and EXECUTE on the function; and they take
-- names from nowhere but where they say, so a caller can't slip in objects of the same name.
--
-- Input is checked here for what would harm the database; whether it fits the flow is known when
-- a worker claims the run.

-- A UUIDv7: the time in front, so that new rows lie side by side in an index. A random UUID has
-- version 4 in the same place; two bits make 7 of it.
CREATE FUNCTION backroom.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(
                uuid_send(gen_random_uuid())
                PLACING substring(
                    int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3
                ) FROM 1 FOR 6
            ), 52, 1
        ), 53, 1), 'hex'
    )::uuid
$$;

-- When something is due: an interval from now or a moment, as microseconds.
CREATE FUNCTION backroom.due_at(delay interval, at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_us bigint := backroom.now_us();
    due timestamptz;
BEGIN
    IF delay IS NOT NULL AND at IS NOT NULL THEN
        RAISE EXCEPTION 'A run starts after a delay or at a time.'
            USING ERRCODE = '22023', HINT = 'Give delay or at, not both.';
    END IF;
    due := coalesce(at, backroom.time_of(now_us) + coalesce(delay, interval '0'));
    IF NOT isfinite(due) OR due < timestamptz 'epoch'
        OR due > backroom.time_of(now_us) + interval '3660 days'
        OR (at IS NULL AND due < backroom.time_of(now_us))
    THEN
        RAISE EXCEPTION 'A run can''t be due at %.', due
            USING ERRCODE = '22023', HINT = 'Use a time between now and ten years from now.';
    END IF;
    RETURN (extract(epoch FROM due) * 1000000)::bigint;
END
$$;

-- Stores a run and returns its id; of a run that holds the key already, the id of that one.
CREATE FUNCTION backroom.start(
    flow text,
    input json DEFAULT '{}',
    key text DEFAULT NULL,
    delay interval DEFAULT NULL,
    at timestamptz DEFAULT NULL,
    queue text DEFAULT 'default',
    priority integer DEFAULT 5,
    timeout interval DEFAULT NULL,
    id uuid DEFAULT NULL,
    subject text DEFAULT NULL,
    version integer DEFAULT 1,
    partition text DEFAULT NULL,
    expires interval DEFAULT NULL,
    even_if_full boolean DEFAULT false
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made uuid := coalesce(start.id, backroom.new_id());
    due bigint := backroom.due_at(start.delay, start.at);
    timeout_us bigint := (extract(epoch FROM start.timeout) * 1000000)::bigint;
    given text := coalesce(start.input::text, '{}');
    holder uuid;
    expires_us bigint := (extract(epoch FROM start.expires) * 1000000)::bigint;
    most integer;
    unbegun bigint;
    part text := coalesce(start.partition, (
        SELECT '' FROM backroom.queue AS q WHERE q.name = start.queue AND q.per_partition IS NOT NULL
    ));
BEGIN
    IF (start.flow ~ '^[A-Za-z_][A-Za-z0-9_.:-]*$' AND length(start.flow) <= 200) IS NOT TRUE
        OR (start.queue ~ '^[A-Za-z_][A-Za-z0-9_.:-]*$' AND length(start.queue) <= 200) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'A flow or queue can''t be called % or %.', start.flow, start.queue
            USING ERRCODE = '22023', HINT = 'Use letters, digits and _ . : - only, starting with '
                'a letter, at most 200 characters.';
    ELSIF (start.priority BETWEEN 0 AND 9) IS NOT TRUE THEN
        RAISE EXCEPTION 'The priority can''t be %.', start.priority
            USING ERRCODE = '22023', HINT = 'Use 0, the most urgent, to 9.';
    ELSIF (start.version BETWEEN 1 AND 1000000000) IS NOT TRUE THEN
        RAISE EXCEPTION 'The version can''t be %.', start.version
            USING ERRCODE = '22023', HINT = 'Use a number from 1 to 1000000000.';
    ELSIF length(start.key) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'A key can''t have % characters.', length(start.key)
            USING ERRCODE = '22023', HINT = 'Use 1 to 200 characters.';
    ELSIF length(start.subject) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'The subject can''t have % characters.', length(start.subject)
            USING ERRCODE = '22023', HINT = 'Use 1 to 200 characters.';
    ELSIF timeout_us <= 0 OR timeout_us > 316224000000000 THEN
        RAISE EXCEPTION 'The time-out can''t be %.', start.timeout
            USING ERRCODE = '22023', HINT = 'Use more than nothing and at most ten years.';
    ELSIF json_typeof(given::json) <> 'object' THEN
        RAISE EXCEPTION 'The input is a JSON %.', json_typeof(given::json)
            USING ERRCODE = '22023', HINT = 'Use an object: the flow''s parameters by name.';
    ELSIF octet_length(given) > 1048576 THEN
        RAISE EXCEPTION 'The input has % bytes.', octet_length(given)
            USING ERRCODE = '22023', HINT = 'Use at most 1048576.';
    END IF;
    IF expires_us <= 0 OR expires_us > 316224000000000 THEN
        RAISE EXCEPTION 'The expiry can''t be %.', start.expires
            USING ERRCODE = '22023', HINT = 'Use more than nothing and at most ten years.';
    ELSIF start.partition IS NOT NULL AND NOT (
        length(start.partition) BETWEEN 1 AND 200
        AND EXISTS (SELECT 1 FROM backroom.queue AS q WHERE q.name = start.queue AND q.parted)
    ) THEN
        RAISE EXCEPTION 'The partition can''t be %.', start.partition
            USING ERRCODE = '22023', HINT = 'Use 1 to 200 characters, in a queue that is declared '
                'with concurrency_per_partition.';
    END IF;
    SELECT q.max_waiting INTO most FROM backroom.queue AS q
    WHERE q.name = start.queue AND NOT coalesce(start.even_if_full, false);
    IF most IS NOT NULL
        AND NOT EXISTS (
            SELECT 1 FROM backroom.key AS k WHERE k.flow = start.flow AND k.key = start.key
        )
        AND NOT EXISTS (SELECT 1 FROM backroom.run AS r WHERE r.id = start.id)
    THEN
        SELECT count(*) INTO unbegun FROM (
            SELECT 1 FROM backroom.live AS l
            WHERE l.queue = start.queue AND l.state IN ('ready', 'scheduled', 'waiting')
              AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
              AND l.started_at IS NULL
            UNION ALL
            SELECT 1 FROM backroom.live AS l
            WHERE l.queue = start.queue AND l.partition IS NOT NULL AND l.state = 'ready'
              AND l.priority < 10 AND l.started_at IS NULL
            LIMIT most
        ) AS l;
        IF unbegun >= most THEN
            RAISE EXCEPTION 'Busy: the queue % has as many runs that haven''t begun as it may have.',
                start.queue
                USING ERRCODE = '53400', HINT = 'Try again in a moment, or raise its max_waiting; '
                    'even_if_full => true lets a run in all the same.';
        END IF;
    END IF;
    IF start.key IS NOT NULL THEN
        INSERT INTO backroom.key (flow, key, run_id) VALUES (start.flow, start.key, made)
        ON CONFLICT DO NOTHING;
        SELECT k.run_id INTO holder FROM backroom.key AS k
        WHERE k.flow = start.flow AND k.key = start.key;
        IF holder IS NULL THEN
            RAISE EXCEPTION 'The run that held this key was removed at this very moment.'
                USING ERRCODE = '40001', HINT = 'Try again.';
        ELSIF holder <> made THEN
            RETURN holder;
        END IF;
    END IF;
    INSERT INTO backroom.run (
        id, flow, queue, priority, key, input, timeout_us, created_at, subject, version, partition
    )
    VALUES (
        made, start.flow, start.queue, start.priority, start.key, given, timeout_us,
        backroom.now_us(), start.subject, start.version, part
    )
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO backroom.live (
            id, flow, queue, priority, state, available_at, deadline_at, partition, expires_at
        )
        VALUES (
            made, start.flow || CASE WHEN start.version > 1 THEN '@' || start.version ELSE '' END,
            start.queue, start.priority,
            CASE WHEN due > backroom.now_us() THEN 'scheduled' ELSE 'ready' END,
            due, due + timeout_us, part, due + expires_us
        );
    END IF;
    RETURN made;
END
$$;

-- Asks a run to be cancelled, with what is attached to it; returns the state it is in then. What
-- nobody performs ends here. A run that has something to undo, or children, is made ready with the
-- reason on it: the worker that claims it does the rest. Left alone is what is being undone already.
CREATE FUNCTION backroom.cancel(run_id uuid, reason text DEFAULT '') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said text := left(coalesce(cancel.reason, ''), 500);
BEGIN
    -- The run and whoever waits for it, in the order in which everybody locks.
    PERFORM 1 FROM backroom.live AS l
    WHERE l.id = ANY (ARRAY(
        SELECT cancel.run_id
        UNION ALL
        SELECT w.run_id FROM backroom.wait AS w
        WHERE w.kind = 'child' AND w.name = cancel.run_id::text
    ))
    ORDER BY l.id FOR UPDATE;
    WITH ended AS (
        DELETE FROM backroom.live AS l
        WHERE l.id = cancel.run_id AND l.state <> 'running'
          AND NOT EXISTS (
            SELECT 1 FROM backroom.step AS s WHERE s.run_id = l.id AND s.kind = 'undo' OFFSET 0
          )
          AND NOT EXISTS (SELECT 1 FROM backroom.live AS c WHERE c.parent_id = l.id OFFSET 0)
        RETURNING l.id, l.attempt, l.started_at, coalesce(l.cancel_reason, said) AS why
    ), kept AS (
        INSERT INTO backroom.result (run_id, state, attempt, error, started_at, finished_at)
        SELECT
            e.id, 'cancelled', e.attempt,
            json_build_object('kind', 'Cancelled', 'message', e.why)::text, e.started_at,
            backroom.now_us()
        FROM ended AS e
    ), forgotten AS (
        DELETE FROM backroom.wait AS w USING ended AS e WHERE w.run_id = e.id
    )
    UPDATE backroom.live AS p
    SET state = 'ready', available_at = least(p.available_at, backroom.now_us())
    FROM ended AS e
    JOIN backroom.wait AS w ON w.kind = 'child' AND w.name = e.id::text
    WHERE p.id = w.run_id AND p.state || '' = 'waiting';
    UPDATE backroom.live AS l
    SET cancel_reason = coalesce(l.cancel_reason, said),
        state = CASE WHEN l.state = 'running' THEN l.state ELSE 'ready' END,
        available_at = CASE WHEN l.state = 'running' THEN l.available_at
            ELSE least(l.available_at, backroom.now_us()) END
    WHERE l.id = cancel.run_id AND (l.state = 'running' OR NOT EXISTS (
        SELECT 1 FROM backroom.step AS s
        WHERE s.run_id = cancel.run_id AND s.address = 'rollback' OFFSET 0
    ) OR EXISTS (
        SELECT 1 FROM backroom.step AS s
        WHERE s.run_id = cancel.run_id AND s.address = 'otherwise' AND s.name = 'begun' OFFSET 0
    ));
    RETURN backroom.state_of(cancel.run_id);
END
$$;

-- Moves a run that hasn't begun to another time, and returns that; the deadline and the expiry (a
-- column of 0004) move along.
CREATE FUNCTION backroom.reschedule(
    run_id uuid, delay interval DEFAULT NULL, at timestamptz DEFAULT NULL
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due bigint := backroom.due_at(reschedule.delay, reschedule.at);
BEGIN
    UPDATE backroom.live AS l
    SET state = CASE WHEN due > backroom.now_us() THEN 'scheduled' ELSE 'ready' END,
        available_at = due, deadline_at = l.deadline_at + (due - l.available_at),
        expires_at = l.expires_at + (due - l.available_at)
    WHERE l.id = reschedule.run_id AND l.state || '' IN ('scheduled', 'ready');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Run % is % and can''t be rescheduled.',
            reschedule.run_id, backroom.state_of(reschedule.run_id)
            USING ERRCODE = '55000',
                HINT = 'Only runs that are scheduled or ready can be moved to another time.';
    END IF;
    RETURN backroom.time_of(due);
END
$$;

CREATE FUNCTION backroom.state_of(run_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_state text;
BEGIN
    SELECT r.state INTO found_state FROM backroom.run_row AS r WHERE r.id = state_of.run_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no run %.', state_of.run_id
            USING ERRCODE = 'P0002', HINT = 'Look at the id; old runs are removed.';
    END IF;
    RETURN found_state;
END
$$;

-- Everybody may execute a new function. These are for those who are named.
REVOKE EXECUTE ON FUNCTION
    backroom.start(text, json, text, interval, timestamptz, text, integer, interval, uuid, text, integer, text,
        interval, boolean),
    backroom.cancel(uuid, text),
    backroom.reschedule(uuid, interval, timestamptz),
    backroom.state_of(uuid)
FROM PUBLIC;
