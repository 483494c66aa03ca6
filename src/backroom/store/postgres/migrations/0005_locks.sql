-- Locks that runs hold, runs that begin when others have ended, and breakers.
--
--   lock   who holds a lock and who stands in line for it, in the order of `turn`
--
-- A hot row is `tied` if somebody has to be told when it goes: its run holds locks or stands in line
-- for some, or others wait for it before they begin. For all other runs the end costs nothing more.
CREATE TABLE backroom.lock (
    turn     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asked_at bigint NOT NULL,
    held_at  bigint,
    run_id   uuid NOT NULL,
    name     text NOT NULL,
    address  text NOT NULL,
    path     text NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_truncate = off
);
CREATE INDEX lock_line ON backroom.lock (name, turn);
CREATE UNIQUE INDEX lock_run ON backroom.lock (run_id, address, name);

ALTER TABLE backroom.live ADD COLUMN tied boolean;

-- What is woken by somebody else's end finds its waits by the other one's name.
DROP INDEX backroom.wait_child;
CREATE INDEX wait_child ON backroom.wait (name, run_id)
    WHERE kind = 'child' OR kind = 'after' OR kind = 'after_end' OR kind = 'breaker';

-- Whoever changes the lines of locks does so alone: what is decided about one (who is next, whether
-- runs wait for each other in a circle) rests on all of them. Taken before any row is locked, where
-- that can be known, so that it and the rows are never waited for crosswise.
CREATE FUNCTION backroom.one_at_a_time() RETURNS void LANGUAGE sql VOLATILE AS
    $$ SELECT pg_advisory_xact_lock(hashtextextended('backroom.' || 'locks', 0)) $$;

-- Puts a run into the lines of these locks, as one request at an address. Answers `held` if it has
-- them all, `waits` if it has to wait, `circle` and the runs in whose way it stands if it would wait for
-- itself (then it has left the lines again), and nothing if the attempt holds its run no more.
CREATE FUNCTION backroom.take_lock(
    asker uuid, asking integer, wanted text[], at_address text, at_path text
) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_us bigint := backroom.now_us();
    circle text;
BEGIN
    PERFORM 1 FROM backroom.live AS l
    WHERE l.id = asker AND l.attempt = asking AND l.state = 'running' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE backroom.live AS l SET tied = true WHERE l.id = asker AND l.tied IS NOT TRUE;
    INSERT INTO backroom.lock (name, run_id, address, path, asked_at, held_at)
    SELECT
        w.name, asker, at_address, at_path, now_us,
        CASE WHEN NOT EXISTS (SELECT 1 FROM backroom.lock AS k WHERE k.name = w.name) THEN now_us END
    FROM unnest(wanted) AS w (name)
    ON CONFLICT DO NOTHING;
    IF NOT EXISTS (
        SELECT 1 FROM backroom.lock AS k
        WHERE k.run_id = asker AND k.address = at_address AND k.held_at IS NULL
    ) THEN
        RETURN 'held';
    END IF;
    -- From each request that waits to those before it in its line, and from each of these to what the
    -- run, in the place where it has it or below, waits for itself.
    WITH RECURSIVE stuck AS (
        SELECT k.turn, k.name FROM backroom.lock AS k
        WHERE k.run_id = asker AND k.address = at_address AND k.held_at IS NULL
        UNION
        SELECT o.turn, o.name
        FROM stuck AS s
        JOIN backroom.lock AS k ON k.name = s.name AND k.turn < s.turn
        JOIN backroom.lock AS o
            ON o.run_id = k.run_id AND o.held_at IS NULL AND starts_with(o.path, k.path)
    )
    SELECT string_agg(DISTINCT o.run_id::text, ' ') INTO circle
    FROM stuck AS w JOIN backroom.lock AS o ON o.turn = w.turn
    WHERE EXISTS (
        SELECT 1 FROM stuck AS s JOIN backroom.lock AS k ON k.name = s.name AND k.turn < s.turn
        WHERE k.run_id = asker AND starts_with(at_path, k.path)
    );
    IF circle IS NULL THEN
        RETURN 'waits';
    END IF;
    DELETE FROM backroom.lock AS k WHERE k.run_id = asker AND k.address = at_address;
    RETURN 'circle ' || circle;
END
$$;

-- Whoever leaves the line, the first one of it has the lock, and goes on if it has all it asked for.
CREATE FUNCTION backroom.pass_lock_on() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head backroom.lock;
BEGIN
    SELECT k.* INTO head FROM backroom.lock AS k WHERE k.name = OLD.name ORDER BY k.turn LIMIT 1;
    IF head.turn IS NULL OR head.held_at IS NOT NULL THEN
        RETURN NULL;
    END IF;
    UPDATE backroom.lock AS k SET held_at = backroom.now_us() WHERE k.turn = head.turn;
    UPDATE backroom.live AS l
    SET state = 'ready', available_at = least(l.available_at, backroom.now_us())
    WHERE l.id = head.run_id AND l.state = 'waiting'
      AND EXISTS (
        SELECT 1 FROM backroom.wait AS w
        WHERE w.run_id = head.run_id AND w.address = head.address AND w.kind = 'lock'
      )
      AND NOT EXISTS (
        SELECT 1 FROM backroom.lock AS k
        WHERE k.run_id = head.run_id AND k.address = head.address AND k.held_at IS NULL
      );
    RETURN NULL;
END
$$;
CREATE TRIGGER pass_on AFTER DELETE ON backroom.lock
    FOR EACH ROW EXECUTE FUNCTION backroom.pass_lock_on();

-- The end of a run that is tied. Its locks go; who was to begin after it does, if it was the last
-- and all is well, or is made ready with the reason on it why it is cancelled: the worker that claims it
-- does the rest. The time from which a time-out and an expiry count moves along. The rows of those who
-- wait are locked before the look at who is left, so of two last ends the second sees the first.
CREATE FUNCTION backroom.untie() RETURNS trigger LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended text;
    now_us bigint;
BEGIN
    IF EXISTS (SELECT 1 FROM backroom.lock AS k WHERE k.run_id = OLD.id) THEN
        PERFORM backroom.one_at_a_time();
        DELETE FROM backroom.lock AS k WHERE k.run_id = OLD.id;
    END IF;
    PERFORM 1 FROM backroom.live AS l
    WHERE l.id IN (
        SELECT w.run_id FROM backroom.wait AS w
        WHERE (w.kind = 'after' OR w.kind = 'after_end') AND w.name = OLD.id::text
    )
    ORDER BY l.id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT e.state INTO ended FROM backroom.result AS e WHERE e.run_id = OLD.id;
    now_us := backroom.now_us();
    UPDATE backroom.live AS l
    SET state = 'ready', available_at = now_us, cancel_reason = coalesce(
        l.cancel_reason,
        format('the run %s, after which it was to begin, has %s', OLD.id, ended)
    )
    FROM backroom.wait AS w
    WHERE ended <> 'succeeded' AND w.kind = 'after' AND w.name = OLD.id::text
      AND l.id = w.run_id AND l.state = 'waiting';
    UPDATE backroom.live AS l
    SET state = CASE WHEN w.due_at > now_us THEN 'scheduled' ELSE 'ready' END,
        available_at = greatest(w.due_at, now_us),
        deadline_at = l.deadline_at + greatest(0, now_us - w.due_at),
        expires_at = l.expires_at + greatest(0, now_us - w.due_at)
    FROM backroom.wait AS w
    WHERE (w.kind = 'after' OR w.kind = 'after_end') AND w.name = OLD.id::text
      AND l.id = w.run_id AND l.state = 'waiting' AND NOT EXISTS (
        SELECT 1 FROM backroom.wait AS o
        WHERE o.run_id = l.id AND o.kind IN ('after', 'after_end') AND o.name <> w.name
      );
    DELETE FROM backroom.wait AS w
    WHERE (w.kind = 'after' OR w.kind = 'after_end') AND w.name = OLD.id::text;
    RETURN NULL;
END
$$;
CREATE TRIGGER untie AFTER DELETE ON backroom.live
    FOR EACH ROW WHEN (OLD.tied) EXECUTE FUNCTION backroom.untie();

-- Lets a run that was stored just now begin only after others, if any of them is still alive. One that
-- is no more, or was never, has not succeeded.
CREATE FUNCTION backroom.follow(
    follower uuid, leaders uuid[], must_succeed boolean
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    due bigint;
    bad uuid;
    way text := CASE WHEN must_succeed THEN 'after' ELSE 'after_end' END;
BEGIN
    SELECT l.available_at INTO due FROM backroom.live AS l
    WHERE l.id = follower AND l.attempt = 0 AND l.state IN ('ready', 'scheduled')
      AND l.cancel_reason IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM backroom.live AS l WHERE l.id = ANY (leaders) ORDER BY l.id FOR UPDATE;
    SELECT g.id INTO bad FROM unnest(leaders) AS g (id)
    WHERE must_succeed
      AND NOT EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = g.id)
      AND NOT EXISTS (
        SELECT 1 FROM backroom.result AS e WHERE e.run_id = g.id AND e.state = 'succeeded'
      )
    LIMIT 1;
    IF bad IS NOT NULL THEN
        UPDATE backroom.live AS l
        SET state = 'ready', available_at = backroom.now_us(), cancel_reason = format(
            'the run %s, after which it was to begin, has %s', bad,
            coalesce((SELECT e.state FROM backroom.result AS e WHERE e.run_id = bad), 'gone')
        )
        WHERE l.id = follower;
    ELSE
        UPDATE backroom.live AS l SET tied = true WHERE l.id = ANY (leaders) AND l.tied IS NOT TRUE;
        INSERT INTO backroom.wait (run_id, address, kind, name, due_at)
        SELECT follower, 'after#' || g.place, way, g.id::text, due
        FROM unnest(leaders) WITH ORDINALITY AS g (id, place)
        JOIN backroom.live AS l ON l.id = g.id
        ON CONFLICT DO NOTHING;
        UPDATE backroom.live AS l SET state = 'waiting', available_at = 9223372036854775807
        WHERE l.id = follower AND EXISTS (
            SELECT 1 FROM backroom.wait AS w WHERE w.run_id = follower AND w.kind = way
        );
    END IF;
END
$$;

-- Breakers: whether an outside service may be called. A row comes with the first failure and goes with
-- the next success, so a service that works has none and costs a look.
CREATE TABLE backroom.breaker (
    failures    integer NOT NULL,
    failed_at   bigint NOT NULL,
    open_until  bigint,
    probe_until bigint,
    name        text PRIMARY KEY,
    probe       text,
    error       text
) WITH (fillfactor = 50, vacuum_truncate = off);
