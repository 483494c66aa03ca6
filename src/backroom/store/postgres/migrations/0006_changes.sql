-- Changes of the application's rows, and the runs that they start.
--
--   trigger   which changes of a table start which flow
--   change    changes that are not runs yet: an inbox. What is read is removed, in the transaction that
--             stores the runs; there is no cursor that a transaction could commit behind
--   held      those of them whose trigger is paused
--   firing    changes that started nothing, counted by trigger, cause and outcome
--
-- `turn` orders the changes of one row: it is the position in the server's log at which the change was
-- noted, while its transaction held the row. A number from a sequence would change what `lastval()`
-- tells the application, and a time may go back.
--
-- A hot row that came from a change is `of_row`: its trigger and a hash of its key. `turn` is its place
-- in the line of runs of that row, which are performed one after another.
CREATE TABLE backroom.trigger (
    installed_at bigint NOT NULL,
    paused_at    bigint,
    timeout_us   bigint,
    expires_us   bigint,
    started      bigint NOT NULL DEFAULT 0,
    merged       bigint NOT NULL DEFAULT 0,
    dropped      bigint NOT NULL DEFAULT 0,
    id           integer PRIMARY KEY,
    version      integer NOT NULL,
    priority     integer NOT NULL,
    coalesced    boolean NOT NULL,
    own          boolean NOT NULL,
    name         text NOT NULL UNIQUE,
    table_name   text NOT NULL,
    flow         text NOT NULL,
    queue        text NOT NULL,
    parameter    text NOT NULL,
    subject      text[],
    definition   text NOT NULL,
    paused_by    text
);

-- Written in anybody's transaction, so it has as little to keep up as can be.
CREATE TABLE backroom.change (
    turn       bigint NOT NULL,
    at         bigint NOT NULL,
    trigger_id integer NOT NULL,
    cause      uuid,
    key        text NOT NULL,
    old        text,
    new        text
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX change_turn ON backroom.change (turn);

CREATE TABLE backroom.held (LIKE backroom.change);
CREATE INDEX held_turn ON backroom.held (trigger_id, turn);

CREATE TABLE backroom.firing (
    count      bigint NOT NULL,
    first_at   bigint NOT NULL,
    last_at    bigint NOT NULL,
    cause_id   uuid NOT NULL,
    trigger_id integer NOT NULL,
    outcome    text NOT NULL,
    key        text NOT NULL,
    path       text NOT NULL,
    PRIMARY KEY (trigger_id, cause_id, outcome)
);

ALTER TABLE backroom.run ADD COLUMN started_by text;
ALTER TABLE backroom.live ADD COLUMN turn bigint, ADD COLUMN of_row text;
CREATE INDEX live_of_row ON backroom.live (of_row, turn) WHERE of_row IS NOT NULL;

-- Why a change that a run has written starts nothing: `own`, `depth` (with the flows of the chain);
-- nothing: it does. The same as `rules/firing.py` says it.
CREATE FUNCTION backroom.refusal(
    cause uuid, flow text, own boolean, most integer, OUT outcome text, OUT path text
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    links integer;
    of_family boolean;
BEGIN
    WITH RECURSIVE chain AS (
        SELECT r.id, r.flow, r.started_by, r.cause_id, r.parent_id, true AS family, 0 AS n
        FROM backroom.run AS r WHERE r.id = refusal.cause
        UNION ALL
        SELECT
            r.id, r.flow, r.started_by, r.cause_id, r.parent_id,
            c.family AND c.parent_id IS NOT DISTINCT FROM r.id, c.n + 1
        FROM chain AS c JOIN backroom.run AS r ON r.id = c.cause_id
        WHERE c.n < 1000
    )
    SELECT
        count(c.started_by), coalesce(bool_or(c.family AND c.flow = refusal.flow), false),
        concat_ws(' → ', string_agg(c.flow, ' → ' ORDER BY c.n DESC), refusal.flow)
    INTO links, of_family, refusal.path
    FROM chain AS c;
    outcome := CASE
        WHEN of_family AND NOT refusal.own THEN 'own' WHEN links >= refusal.most THEN 'depth'
    END;
END
$$;

-- The input of a run: the flow's one argument, a change. Texts are put together, so that each side is
-- what the row's own transaction has written.
CREATE FUNCTION backroom.change_as_input(
    table_name text, parameter text, key text, old text, new text, at bigint
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format(
        '{%s:{"table":%s,"operation":"%s","key":%s,"old":%s,"new":%s,"at":"%s"}}',
        to_json(parameter), to_json(table_name),
        CASE WHEN old IS NULL THEN 'insert' WHEN new IS NULL THEN 'delete' ELSE 'update' END,
        key, coalesce(old, 'null'), coalesce(new, 'null'),
        to_char(backroom.time_of(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
    )
$$;

-- Turns changes into runs, in their order; answers how many runs, and whether there may be more
-- changes. One caller at a time: whoever comes meanwhile finds nothing to do.
CREATE FUNCTION backroom.fire(
    most integer, depth_limit integer, OUT started integer, OUT more boolean
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_us bigint := backroom.now_us();
    one record;
    tail record;
    refused record;
    head record;
    before json;
    given text;
    made uuid;
    about text;
    part text;
    seen integer := 0;
    began integer[] := '{}';
BEGIN
    started := 0;
    more := false;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('backroom.' || 'changes', 0)) THEN
        RETURN;
    END IF;
    FOR one IN
        WITH gone_on AS MATERIALIZED (
            SELECT h.ctid AS place FROM backroom.trigger AS t
            JOIN backroom.held AS h ON h.trigger_id = t.id
            WHERE t.paused_at IS NULL ORDER BY h.turn LIMIT most
        ), from_held AS (
            DELETE FROM backroom.held AS h USING gone_on AS g WHERE h.ctid = g.place RETURNING h.*
        ), next AS MATERIALIZED (
            SELECT c.ctid AS place FROM backroom.change AS c ORDER BY c.turn
            LIMIT (SELECT most - count(*) FROM gone_on)
        ), from_inbox AS (
            DELETE FROM backroom.change AS c USING next AS n WHERE c.ctid = n.place RETURNING c.*
        ), aside AS (
            INSERT INTO backroom.held
            SELECT c.* FROM from_inbox AS c JOIN backroom.trigger AS t ON t.id = c.trigger_id
            WHERE t.paused_at IS NOT NULL
        )
        SELECT
            c.at, c.cause, c.key, c.old, c.new, c.trigger_id, c.is_new, t.name, t.table_name,
            t.flow, t.version, t.queue, t.priority, t.timeout_us, t.expires_us, t.parameter, t.subject,
            t.coalesced, t.own, t.paused_at, c.trigger_id || ':' || md5(c.key) AS of_row
        FROM (
            SELECT h.*, false AS is_new FROM from_held AS h
            UNION ALL
            SELECT c.*, true FROM from_inbox AS c
        ) AS c
        LEFT JOIN backroom.trigger AS t ON t.id = c.trigger_id
        ORDER BY c.is_new, c.turn
    LOOP
        seen := seen + 1;
        CONTINUE WHEN one.name IS NULL OR one.is_new AND one.paused_at IS NOT NULL;
        IF one.cause IS NOT NULL THEN
            refused := backroom.refusal(one.cause, one.flow, one.own, depth_limit);
            IF refused.outcome IS NOT NULL THEN
                INSERT INTO backroom.firing AS f (
                    trigger_id, outcome, cause_id, count, first_at, last_at, key, path
                )
                VALUES (
                    one.trigger_id, refused.outcome, one.cause, 1, now_us, now_us, one.key, refused.path
                )
                ON CONFLICT (trigger_id, cause_id, outcome) DO UPDATE SET
                    count = f.count + 1, last_at = now_us, key = excluded.key, path = excluded.path;
                UPDATE backroom.trigger AS t SET dropped = t.dropped + 1 WHERE t.id = one.trigger_id;
                CONTINUE;
            END IF;
        END IF;
        IF one.coalesced THEN
            SELECT l.id, l.state, l.started_at INTO tail FROM backroom.live AS l
            WHERE l.of_row = one.of_row ORDER BY l.turn DESC LIMIT 1 FOR UPDATE;
            IF tail.id IS NOT NULL AND tail.started_at IS NULL AND tail.state <> 'running' THEN
                SELECT r.input::json -> one.parameter INTO before FROM backroom.run AS r
                WHERE r.id = tail.id AND r.cause_id IS NOT DISTINCT FROM one.cause;
                IF before ->> 'new' IS NOT NULL
                    AND (before ->> 'old' IS NOT NULL OR one.new IS NOT NULL)
                THEN
                    UPDATE backroom.run AS r SET input = backroom.change_as_input(
                        one.table_name, one.parameter, one.key,
                        CASE WHEN before ->> 'old' IS NOT NULL THEN before ->> 'old' END,
                        one.new, one.at
                    )
                    WHERE r.id = tail.id;
                    UPDATE backroom.trigger AS t SET merged = t.merged + 1 WHERE t.id = one.trigger_id;
                    CONTINUE;
                END IF;
            END IF;
        END IF;
        SELECT l.id, l.turn INTO tail FROM backroom.live AS l
        WHERE l.of_row = one.of_row ORDER BY l.turn DESC LIMIT 1;
        SELECT r.id, coalesce(r.root_id, r.id) AS root_id, r.depth INTO head
        FROM backroom.run AS r WHERE r.id = one.cause;
        given := backroom.change_as_input(
            one.table_name, one.parameter, one.key, one.old, one.new, one.at
        );
        about := NULL;
        IF one.subject IS NOT NULL THEN
            about := coalesce(
                given::json #>> (one.subject || '{v}'), given::json #>> one.subject,
                given::json #>> (replace(one.subject::text, ',new,', ',old,')::text[] || '{v}'),
                given::json #>> replace(one.subject::text, ',new,', ',old,')::text[]
            );
        END IF;
        SELECT '' INTO part FROM backroom.queue AS q
        WHERE q.name = one.queue AND q.per_partition IS NOT NULL;
        -- A number in it keeps the runs of one transaction in their order.
        made := encode(overlay(
            uuid_send(backroom.new_id()) PLACING int2send((28672 + started % 4096)::int2) FROM 7 FOR 2
        ), 'hex')::uuid;
        INSERT INTO backroom.run (
            id, flow, queue, priority, input, timeout_us, cause_id, root_id, depth, created_at,
            subject, version, partition, started_by
        )
        VALUES (
            made, one.flow, one.queue, one.priority, given, one.timeout_us, head.id, head.root_id,
            coalesce(head.depth + 1, 0), now_us, left(nullif(about, ''), 200), one.version, part,
            one.name
        );
        INSERT INTO backroom.live (
            id, flow, queue, priority, state, available_at, deadline_at, expires_at, partition,
            of_row, turn
        )
        VALUES (
            made, one.flow || CASE WHEN one.version > 1 THEN '@' || one.version ELSE '' END, one.queue,
            one.priority, 'ready', now_us, now_us + one.timeout_us, now_us + one.expires_us, part,
            one.of_row, coalesce(tail.turn + 1, 1)
        );
        IF tail.id IS NOT NULL THEN
            PERFORM backroom.follow(made, ARRAY[tail.id], false);
        END IF;
        started := started + 1;
        began := began || one.trigger_id;
    END LOOP;
    UPDATE backroom.trigger AS t SET started = t.started + b.number
    FROM (SELECT b.id, count(*) AS number FROM unnest(began) AS b (id) GROUP BY b.id) AS b
    WHERE t.id = b.id;
    more := seen = most;
END
$$;
