-- Locks that runs hold, runs that begin when others have ended, and breakers.
--
--   backroom_lock   who holds a lock and who stands in line for it, in the order of `turn`
--
-- A hot row is `tied` if somebody has to be told when it goes: its run holds locks or stands in line
-- for some, or others wait for it before they begin. For all other runs the end costs nothing more.
CREATE TABLE backroom_lock (
    turn     INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    run_id   TEXT NOT NULL,
    address  TEXT NOT NULL,
    path     TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    held_at  INTEGER
);
CREATE INDEX backroom_lock_line ON backroom_lock (name, turn);
CREATE UNIQUE INDEX backroom_lock_run ON backroom_lock (run_id, address, name);

ALTER TABLE backroom_live ADD COLUMN tied INTEGER;

-- What is woken by somebody else's end finds its waits by the other one's name.
DROP INDEX backroom_wait_child;
CREATE INDEX backroom_wait_child ON backroom_wait (name, run_id)
    WHERE kind = 'child' OR kind = 'after' OR kind = 'after_end' OR kind = 'breaker';

-- Whoever leaves the line, the first one of it has the lock, and goes on if it has all it asked for.
CREATE TRIGGER backroom_lock_passes_on AFTER DELETE ON backroom_lock BEGIN
    UPDATE backroom_lock SET held_at = (SELECT now_us FROM backroom_clock)
    WHERE held_at IS NULL
      AND turn = (SELECT min(k.turn) FROM backroom_lock AS k WHERE k.name = OLD.name);
    UPDATE backroom_live SET
        state = 'ready', available_at = min(available_at, (SELECT now_us FROM backroom_clock))
    WHERE changes() = 1 AND state = 'waiting' AND id = (
        SELECT k.run_id FROM backroom_lock AS k JOIN backroom_wait AS w
            ON w.run_id = k.run_id AND w.address = k.address AND w.kind = 'lock'
        WHERE k.turn = (SELECT min(f.turn) FROM backroom_lock AS f WHERE f.name = OLD.name)
          AND NOT EXISTS (
            SELECT 1 FROM backroom_lock AS o
            WHERE o.run_id = k.run_id AND o.address = k.address AND o.held_at IS NULL
        )
    );
END;

-- The end of a run that is tied. Its locks go; who was to begin after it does, if it was the last
-- and all is well, or is made ready with the reason on it why it is cancelled: the worker that claims it
-- does the rest. The time from which a time-out and an expiry count moves along.
CREATE TRIGGER backroom_untie AFTER DELETE ON backroom_live WHEN OLD.tied = 1 BEGIN
    DELETE FROM backroom_lock WHERE run_id = OLD.id;
    UPDATE backroom_live SET
        state = 'ready', available_at = (SELECT now_us FROM backroom_clock),
        cancel_reason = coalesce(cancel_reason, printf(
            'the run %s, after which it was to begin, has %s', OLD.id,
            (SELECT e.state FROM backroom_result AS e WHERE e.run_id = OLD.id)
        ))
    WHERE state = 'waiting'
      AND (SELECT e.state FROM backroom_result AS e WHERE e.run_id = OLD.id) <> 'succeeded'
      AND id IN (SELECT w.run_id FROM backroom_wait AS w WHERE w.kind = 'after' AND w.name = OLD.id);
    UPDATE backroom_live SET
        state = CASE
            WHEN (SELECT max(w.due_at) FROM backroom_wait AS w WHERE w.run_id = backroom_live.id)
                > (SELECT now_us FROM backroom_clock) THEN 'scheduled' ELSE 'ready' END,
        available_at = max(
            (SELECT now_us FROM backroom_clock),
            (SELECT max(w.due_at) FROM backroom_wait AS w WHERE w.run_id = backroom_live.id)
        ),
        deadline_at = deadline_at + max(0, (SELECT now_us FROM backroom_clock)
            - (SELECT max(w.due_at) FROM backroom_wait AS w WHERE w.run_id = backroom_live.id)),
        expires_at = expires_at + max(0, (SELECT now_us FROM backroom_clock)
            - (SELECT max(w.due_at) FROM backroom_wait AS w WHERE w.run_id = backroom_live.id))
    WHERE state = 'waiting'
      AND id IN (
        SELECT w.run_id FROM backroom_wait AS w WHERE w.kind = 'after' AND w.name = OLD.id
        UNION ALL
        SELECT w.run_id FROM backroom_wait AS w WHERE w.kind = 'after_end' AND w.name = OLD.id
    ) AND NOT EXISTS (
        SELECT 1 FROM backroom_wait AS w
        WHERE w.run_id = backroom_live.id AND w.name <> OLD.id
          AND (w.kind = 'after' OR w.kind = 'after_end')
    );
    DELETE FROM backroom_wait WHERE kind = 'after' AND name = OLD.id;
    DELETE FROM backroom_wait WHERE kind = 'after_end' AND name = OLD.id;
END;

-- Breakers: whether an outside service may be called. A row comes with the first failure and goes with
-- the next success, so a service that works has none and costs a look.
CREATE TABLE backroom_breaker (
    name        TEXT PRIMARY KEY NOT NULL,
    failures    INTEGER NOT NULL,
    failed_at   INTEGER NOT NULL,
    open_until  INTEGER,
    probe_until INTEGER,
    probe       TEXT,
    error       TEXT
) WITHOUT ROWID;
