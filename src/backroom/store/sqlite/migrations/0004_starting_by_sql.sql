-- Starting, cancelling and moving runs from plain SQL: insert a row into one of these views. They
-- are public: columns are added, never renamed or removed.
--
-- A trigger of SQLite's may contain no common table expression, and the caller's own conflict
-- clause (INSERT OR REPLACE) overrides ours, so what must not come twice is looked for first.
-- changes() is the number of rows of the statement before, within the trigger.
--
-- Input is checked here for what would harm the database; whether it fits the flow is known when
-- a worker claims the run.

CREATE VIEW backroom_start AS
SELECT
    NULL AS id, NULL AS flow, NULL AS input, NULL AS key, NULL AS delay_seconds, NULL AS at,
    NULL AS queue, NULL AS priority, NULL AS timeout_seconds, NULL AS subject,
    NULL AS version, NULL AS partition, NULL AS expires_seconds, NULL AS even_if_full
WHERE 0;

CREATE TRIGGER backroom_start_insert INSTEAD OF INSERT ON backroom_start BEGIN
    SELECT RAISE(ABORT, 'A flow''s or queue''s name has letters, digits and _ . : - only, starts with a letter, and has at most 200 characters.')
    WHERE NOT coalesce(
        typeof(NEW.flow) = 'text' AND length(NEW.flow) <= 200
        AND NEW.flow GLOB '[A-Za-z_]*' AND NEW.flow NOT GLOB '*[^A-Za-z0-9_.:-]*'
        AND instr(NEW.flow, char(0)) = 0, 0
    ) OR NEW.queue IS NOT NULL AND NOT (
        typeof(NEW.queue) = 'text' AND length(NEW.queue) <= 200
        AND NEW.queue GLOB '[A-Za-z_]*' AND NEW.queue NOT GLOB '*[^A-Za-z0-9_.:-]*'
        AND instr(NEW.queue, char(0)) = 0
    );
    SELECT RAISE(ABORT, 'An id is a UUID in small letters. Leave it out, and one is made.')
    WHERE NEW.id IS NOT NULL AND NOT (typeof(NEW.id) = 'text' AND length(CAST(NEW.id AS BLOB)) = 36 AND NEW.id GLOB
        '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]');
    SELECT RAISE(ABORT, 'The input is a JSON object as text: the flow''s parameters by name, at most 1048576 bytes.')
    WHERE NEW.input IS NOT NULL AND NOT CASE
        WHEN typeof(NEW.input) <> 'text' OR length(CAST(NEW.input AS BLOB)) > 1048576
            OR instr(NEW.input, char(0)) > 0 OR NOT json_valid(NEW.input) THEN 0
        ELSE json_type(NEW.input) = 'object'
    END;
    SELECT RAISE(ABORT, 'A key is a text of 1 to 200 characters.')
    WHERE NEW.key IS NOT NULL AND NOT (
        typeof(NEW.key) = 'text' AND length(NEW.key) BETWEEN 1 AND 200
        AND instr(NEW.key, char(0)) = 0
    );
    SELECT RAISE(ABORT, 'A subject is a text of 1 to 200 characters.')
    WHERE NEW.subject IS NOT NULL AND NOT (
        typeof(NEW.subject) = 'text' AND length(NEW.subject) BETWEEN 1 AND 200
        AND instr(NEW.subject, char(0)) = 0
    );
    SELECT RAISE(ABORT, 'A priority is 0, the most urgent, to 9.')
    WHERE NEW.priority IS NOT NULL
        AND NOT (typeof(NEW.priority) = 'integer' AND NEW.priority BETWEEN 0 AND 9);
    SELECT RAISE(ABORT, 'Give delay_seconds (0 to ten years) or at (a time in ISO 8601), not both.')
    WHERE NEW.delay_seconds IS NOT NULL AND (
            NEW.at IS NOT NULL OR typeof(NEW.delay_seconds) NOT IN ('integer', 'real')
            OR NEW.delay_seconds NOT BETWEEN 0 AND 316224000
        ) OR NEW.at IS NOT NULL AND (
            typeof(NEW.at) <> 'text' OR julianday(NEW.at) IS NULL
            OR julianday(NEW.at) NOT BETWEEN 2440587.5 AND julianday('now') + 3660
        );
    SELECT RAISE(ABORT, 'A time-out is a number of seconds, more than 0 and at most ten years.')
    WHERE NEW.timeout_seconds IS NOT NULL AND NOT (
        typeof(NEW.timeout_seconds) IN ('integer', 'real')
        AND NEW.timeout_seconds > 0 AND NEW.timeout_seconds <= 316224000
    );
    SELECT RAISE(ABORT, 'A version is a number from 1 to 1000000000.')
    WHERE NEW.version IS NOT NULL
        AND NOT (typeof(NEW.version) = 'integer' AND NEW.version BETWEEN 1 AND 1000000000);
    SELECT RAISE(ABORT, 'An expiry is a number of seconds, more than 0 and at most ten years.')
    WHERE NEW.expires_seconds IS NOT NULL AND NOT (
        typeof(NEW.expires_seconds) IN ('integer', 'real')
        AND NEW.expires_seconds > 0 AND NEW.expires_seconds <= 316224000
    );
    SELECT RAISE(ABORT, 'A partition is a text of 1 to 200 characters, of a queue that is declared with concurrency_per_partition.')
    WHERE NEW.partition IS NOT NULL AND NOT (
        typeof(NEW.partition) = 'text' AND length(NEW.partition) BETWEEN 1 AND 200
        AND instr(NEW.partition, char(0)) = 0
        AND EXISTS (SELECT 1 FROM backroom_queue AS q WHERE q.name = NEW.queue AND q.parted = 1)
    );
    SELECT RAISE(ABORT, 'Busy: the queue has as many runs that haven''t begun as it may have. Try again in a moment, or raise its max_waiting; even_if_full = 1 lets a run in all the same.')
    FROM backroom_queue AS q
    WHERE q.name = coalesce(NEW.queue, 'default') AND q.max_waiting IS NOT NULL
        AND NOT coalesce(NEW.even_if_full, 0)
        AND NOT EXISTS (SELECT 1 FROM backroom_key AS k WHERE k.flow = NEW.flow AND k.key = NEW.key)
        AND NOT EXISTS (SELECT 1 FROM backroom_run AS r WHERE r.id = NEW.id)
        AND q.max_waiting <= (
            SELECT count(*) FROM backroom_live AS l
            WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
              AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
              AND l.queue = q.name AND l.started_at IS NULL
        ) + (
            SELECT count(*) FROM backroom_live AS l
            WHERE l.state = 'ready' AND l.priority < 10 AND l.partition IS NOT NULL
              AND l.queue = q.name AND l.started_at IS NULL
        );
    -- The id is a UUIDv7: 48 bits of time in milliseconds, the version, and random bits.
    INSERT INTO backroom_run (
        id, flow, queue, priority, key, input, timeout_us, created_at, subject, version, partition
    )
    SELECT
        coalesce(NEW.id, printf(
            '%08x-%04x-7%03x-%04x-%012x', ms >> 16, ms & 65535, random() & 4095,
            32768 | (random() & 16383), random() & 281474976710655
        )),
        NEW.flow, coalesce(NEW.queue, 'default'), coalesce(NEW.priority, 5), NEW.key,
        coalesce(NEW.input, '{}'), CAST(round(NEW.timeout_seconds * 1000000.0) AS INTEGER),
        (SELECT now_us FROM backroom_clock), NEW.subject, coalesce(NEW.version, 1),
        coalesce(NEW.partition, (
            SELECT '' FROM backroom_queue AS q
            WHERE q.name = coalesce(NEW.queue, 'default') AND q.per_partition IS NOT NULL
        ))
    FROM (SELECT CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) AS ms)
    WHERE NOT EXISTS (SELECT 1 FROM backroom_key AS k WHERE k.flow = NEW.flow AND k.key = NEW.key)
        AND NOT EXISTS (SELECT 1 FROM backroom_run AS r WHERE r.id = NEW.id);
    INSERT INTO backroom_live (
        id, flow, queue, priority, state, available_at, deadline_at, partition, expires_at
    )
    SELECT
        id, flow || CASE WHEN version > 1 THEN '@' || version ELSE '' END, queue, priority,
        CASE WHEN due > created_at THEN 'scheduled' ELSE 'ready' END,
        due, due + timeout_us, partition,
        due + CAST(round(NEW.expires_seconds * 1000000.0) AS INTEGER)
    FROM (
        SELECT r.*, coalesce(
            CAST(round((julianday(NEW.at) - 2440587.5) * 86400000.0) AS INTEGER) * 1000,
            r.created_at + CAST(round(coalesce(NEW.delay_seconds, 0) * 1000000.0) AS INTEGER)
        ) AS due
        FROM backroom_run AS r
        WHERE changes() = 1 AND r.rowid = last_insert_rowid()
    );
    INSERT INTO backroom_key (flow, key, run_id)
    SELECT r.flow, r.key, r.id FROM backroom_run AS r
    WHERE changes() = 1 AND r.rowid = last_insert_rowid() AND r.key IS NOT NULL;
END;

-- Asks a run to be cancelled, with what is attached to it. What nobody performs ends here. A run
-- that has something to undo, or children, is made ready with the reason on it: the worker that
-- claims it does the rest. Left alone is a run that has ended or is being undone already.
CREATE VIEW backroom_cancel AS SELECT NULL AS run_id, NULL AS reason WHERE 0;

CREATE TRIGGER backroom_cancel_insert INSTEAD OF INSERT ON backroom_cancel BEGIN
    SELECT RAISE(ABORT, 'There is no such run. Look at the id; old runs are removed.')
    WHERE NOT EXISTS (SELECT 1 FROM backroom_run AS r WHERE r.id = NEW.run_id);
    INSERT INTO backroom_result (run_id, state, attempt, error, started_at, finished_at)
    SELECT
        l.id, 'cancelled', l.attempt,
        json_object(
            'kind', 'Cancelled',
            'message', coalesce(l.cancel_reason, substr(CAST(NEW.reason AS TEXT), 1, 500), '')
        ),
        l.started_at, (SELECT now_us FROM backroom_clock)
    FROM backroom_live AS l
    WHERE l.id = NEW.run_id AND l.state <> 'running'
        AND NOT EXISTS (SELECT 1 FROM backroom_step AS s WHERE s.run_id = l.id AND s.kind = 'undo')
        AND NOT EXISTS (SELECT 1 FROM backroom_live AS c WHERE c.parent_id = l.id);
    UPDATE backroom_live SET
        state = 'ready',
        available_at = min(available_at, (SELECT now_us FROM backroom_clock))
    WHERE changes() = 1 AND state = 'waiting' AND id IN (
        SELECT w.run_id FROM backroom_wait AS w WHERE w.kind = 'child' AND w.name = NEW.run_id
    );
    DELETE FROM backroom_wait WHERE run_id = NEW.run_id
        AND EXISTS (SELECT 1 FROM backroom_result AS e WHERE e.run_id = NEW.run_id);
    DELETE FROM backroom_live WHERE id = NEW.run_id
        AND EXISTS (SELECT 1 FROM backroom_result AS e WHERE e.run_id = NEW.run_id);
    UPDATE backroom_live SET
        cancel_reason = coalesce(cancel_reason, substr(CAST(NEW.reason AS TEXT), 1, 500), ''),
        state = CASE WHEN state = 'running' THEN state ELSE 'ready' END,
        available_at = CASE WHEN state = 'running' THEN available_at
            ELSE min(available_at, (SELECT now_us FROM backroom_clock)) END
    WHERE id = NEW.run_id AND (state = 'running' OR NOT EXISTS (
        SELECT 1 FROM backroom_step AS s WHERE s.run_id = NEW.run_id AND s.address = 'rollback'
    ) OR EXISTS (
        SELECT 1 FROM backroom_step AS s
        WHERE s.run_id = NEW.run_id AND s.address = 'otherwise' AND s.name = 'begun'
    ));
END;

-- Moves a run that hasn't begun to another time; the deadline and the expiry (a column of 0004) move
-- along.
CREATE VIEW backroom_reschedule AS
SELECT NULL AS run_id, NULL AS delay_seconds, NULL AS at WHERE 0;

CREATE TRIGGER backroom_reschedule_insert INSTEAD OF INSERT ON backroom_reschedule BEGIN
    SELECT RAISE(ABORT, 'Only runs that are scheduled or ready can be moved to another time.')
    WHERE NOT EXISTS (
        SELECT 1 FROM backroom_live AS l
        WHERE l.id = NEW.run_id AND l.state IN ('scheduled', 'ready')
    );
    SELECT RAISE(ABORT, 'Give delay_seconds (0 to ten years) or at (a time in ISO 8601), not both.')
    WHERE NEW.delay_seconds IS NOT NULL AND (
            NEW.at IS NOT NULL OR typeof(NEW.delay_seconds) NOT IN ('integer', 'real')
            OR NEW.delay_seconds NOT BETWEEN 0 AND 316224000
        ) OR NEW.at IS NOT NULL AND (
            typeof(NEW.at) <> 'text' OR julianday(NEW.at) IS NULL
            OR julianday(NEW.at) NOT BETWEEN 2440587.5 AND julianday('now') + 3660
        );
    UPDATE backroom_live SET
        state = CASE WHEN given.due > given.now_us THEN 'scheduled' ELSE 'ready' END,
        available_at = given.due, deadline_at = deadline_at + (given.due - available_at),
        expires_at = expires_at + (given.due - available_at)
    FROM (
        SELECT c.now_us, coalesce(
            CAST(round((julianday(NEW.at) - 2440587.5) * 86400000.0) AS INTEGER) * 1000,
            c.now_us + CAST(round(coalesce(NEW.delay_seconds, 0) * 1000000.0) AS INTEGER)
        ) AS due
        FROM backroom_clock AS c
    ) AS given
    WHERE backroom_live.id = NEW.run_id;
END;
