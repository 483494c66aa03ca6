-- Schedules, and what became of their slots.
--
--   backroom_schedule   what is due when; `place` is how far its slots have been decided
--   backroom_slot       a decision about a slot, or about several in a row of which none was started.
--                       Its key is what lets twenty workers start a slot once
--
-- `calendar` and `options` are JSON that a worker reads; SQL can't tell whether they make sense.
-- `next_at`: when a worker has to look again; at once for a schedule that is new or has changed.
-- `series` rises when the calendar changes, since places of two calendars can't be compared.
CREATE TABLE backroom_schedule (
    name       TEXT PRIMARY KEY NOT NULL,
    flow       TEXT NOT NULL,
    input      TEXT NOT NULL,
    calendar   TEXT NOT NULL,
    options    TEXT NOT NULL,
    source     TEXT NOT NULL,
    made_by    TEXT NOT NULL,
    series     INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    place      INTEGER,
    next_at    INTEGER,
    last_run   TEXT,
    paused_at  INTEGER,
    paused_by  TEXT,
    resumed_at INTEGER,
    retired_at INTEGER,
    error      TEXT,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX backroom_schedule_next ON backroom_schedule (next_at)
    WHERE next_at IS NOT NULL AND retired_at IS NULL;

CREATE TABLE backroom_slot (
    schedule   TEXT NOT NULL,
    series     INTEGER NOT NULL,
    place      INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    decision   TEXT NOT NULL,
    run_id     TEXT,
    reason     TEXT,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (schedule, series, place)
) WITHOUT ROWID;
CREATE INDEX backroom_slot_run ON backroom_slot (run_id) WHERE run_id IS NOT NULL;

-- Public: columns are added, never renamed or removed.
CREATE VIEW backroom_schedules AS
SELECT
    name, flow, input, calendar, options, source, made_by,
    strftime('%Y-%m-%dT%H:%M:%fZ', next_at / 1000000.0, 'unixepoch') AS next_at,
    last_run,
    CASE WHEN resumed_at IS NULL
        THEN strftime('%Y-%m-%dT%H:%M:%fZ', paused_at / 1000000.0, 'unixepoch') END AS paused_at,
    CASE WHEN resumed_at IS NULL THEN paused_by END AS paused_by,
    strftime('%Y-%m-%dT%H:%M:%fZ', retired_at / 1000000.0, 'unixepoch') AS retired_at, error
FROM backroom_schedule;

CREATE VIEW backroom_slots AS
SELECT
    schedule,
    strftime('%Y-%m-%dT%H:%M:%fZ', at / 1000000.0, 'unixepoch') AS slot,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_at / 1000000.0, 'unixepoch') AS last_slot,
    count, decision, run_id, reason,
    strftime('%Y-%m-%dT%H:%M:%fZ', decided_at / 1000000.0, 'unixepoch') AS decided_at
FROM backroom_slot;

-- Adds a schedule, or changes it. A calendar that stays as it is goes on where it was; another one
-- counts from now, and so does one that had been removed.
CREATE VIEW backroom_add_schedule AS
SELECT
    NULL AS name, NULL AS flow, NULL AS calendar, NULL AS input, NULL AS options, NULL AS made_by,
    NULL AS source
WHERE 0;

CREATE TRIGGER backroom_add_schedule_insert INSTEAD OF INSERT ON backroom_add_schedule BEGIN
    SELECT RAISE(ABORT, 'A schedule''s or flow''s name has letters, digits and _ . : - only, starts with a letter, and has at most 200 characters.')
    WHERE NOT coalesce(
        typeof(NEW.name) = 'text' AND length(NEW.name) <= 200
        AND NEW.name GLOB '[A-Za-z_]*' AND NEW.name NOT GLOB '*[^A-Za-z0-9_.:-]*'
        AND instr(NEW.name, char(0)) = 0
        AND typeof(NEW.flow) = 'text' AND length(NEW.flow) <= 200
        AND NEW.flow GLOB '[A-Za-z_]*' AND NEW.flow NOT GLOB '*[^A-Za-z0-9_.:-]*'
        AND instr(NEW.flow, char(0)) = 0, 0
    );
    SELECT RAISE(ABORT, 'The calendar, the input and the options are JSON objects as text: {"cron": "30 2 * * *"}, the flow''s parameters by name, {"missed": "skip"}.')
    WHERE NOT (
        CASE WHEN typeof(NEW.calendar) <> 'text' OR length(CAST(NEW.calendar AS BLOB)) > 4096
            OR instr(NEW.calendar, char(0)) > 0 OR NOT json_valid(NEW.calendar) THEN 0
            ELSE json_type(NEW.calendar) = 'object' END
        AND CASE WHEN NEW.input IS NULL THEN 1
            WHEN typeof(NEW.input) <> 'text' OR length(CAST(NEW.input AS BLOB)) > 1048576
            OR instr(NEW.input, char(0)) > 0 OR NOT json_valid(NEW.input) THEN 0
            ELSE json_type(NEW.input) = 'object' END
        AND CASE WHEN NEW.options IS NULL THEN 1
            WHEN typeof(NEW.options) <> 'text' OR length(CAST(NEW.options AS BLOB)) > 4096
            OR instr(NEW.options, char(0)) > 0 OR NOT json_valid(NEW.options) THEN 0
            ELSE json_type(NEW.options) = 'object' END
    );
    SELECT RAISE(ABORT, 'This schedule is declared in code. Change it there and deploy, or pause it.')
    WHERE coalesce(NEW.source, 'sql') <> 'code' AND EXISTS (
        SELECT 1 FROM backroom_schedule AS s
        WHERE s.name = NEW.name AND s.source = 'code' AND s.retired_at IS NULL
    );
    UPDATE backroom_schedule SET
        series = series + 1, since = (SELECT now_us FROM backroom_clock), place = NULL,
        retired_at = NULL, calendar = NEW.calendar,
        next_at = 0
    WHERE name = NEW.name AND (calendar <> NEW.calendar OR retired_at IS NOT NULL);
    UPDATE backroom_schedule SET
        flow = NEW.flow, input = coalesce(NEW.input, '{}'), options = coalesce(NEW.options, '{}'),
        source = coalesce(NEW.source, 'sql'), made_by = coalesce(NEW.made_by, ''), error = NULL,
        next_at = (SELECT now_us FROM backroom_clock),
        changed_at = (SELECT now_us FROM backroom_clock)
    WHERE name = NEW.name AND (
        next_at = 0 OR flow <> NEW.flow OR input <> coalesce(NEW.input, '{}')
        OR options <> coalesce(NEW.options, '{}') OR source <> coalesce(NEW.source, 'sql')
        OR error IS NOT NULL
    );
    INSERT INTO backroom_schedule (
        name, flow, input, calendar, options, source, made_by, series, since, next_at, changed_at
    )
    SELECT
        NEW.name, NEW.flow, coalesce(NEW.input, '{}'), NEW.calendar, coalesce(NEW.options, '{}'),
        coalesce(NEW.source, 'sql'), coalesce(NEW.made_by, ''), 1, now_us, now_us, now_us
    FROM backroom_clock
    WHERE NOT EXISTS (SELECT 1 FROM backroom_schedule AS s WHERE s.name = NEW.name);
END;

CREATE VIEW backroom_pause_schedule AS SELECT NULL AS name, NULL AS paused_by WHERE 0;

CREATE TRIGGER backroom_pause_schedule_insert INSTEAD OF INSERT ON backroom_pause_schedule BEGIN
    SELECT RAISE(ABORT, 'There is no such schedule. Look at backroom_schedules.')
    WHERE NOT EXISTS (
        SELECT 1 FROM backroom_schedule WHERE name = NEW.name AND retired_at IS NULL
    );
    UPDATE backroom_schedule SET
        paused_at = (SELECT now_us FROM backroom_clock), resumed_at = NULL,
        paused_by = substr(coalesce(CAST(NEW.paused_by AS TEXT), ''), 1, 500)
    WHERE name = NEW.name AND (paused_at IS NULL OR resumed_at IS NOT NULL);
END;

CREATE VIEW backroom_resume_schedule AS SELECT NULL AS name WHERE 0;

CREATE TRIGGER backroom_resume_schedule_insert INSTEAD OF INSERT ON backroom_resume_schedule BEGIN
    SELECT RAISE(ABORT, 'There is no such schedule. Look at backroom_schedules.')
    WHERE NOT EXISTS (
        SELECT 1 FROM backroom_schedule WHERE name = NEW.name AND retired_at IS NULL
    );
    UPDATE backroom_schedule SET resumed_at = (SELECT now_us FROM backroom_clock)
    WHERE name = NEW.name AND paused_at IS NOT NULL AND resumed_at IS NULL;
END;

CREATE VIEW backroom_remove_schedule AS SELECT NULL AS name WHERE 0;

CREATE TRIGGER backroom_remove_schedule_insert INSTEAD OF INSERT ON backroom_remove_schedule BEGIN
    SELECT RAISE(ABORT, 'There is no such schedule. Look at backroom_schedules.')
    WHERE NOT EXISTS (SELECT 1 FROM backroom_schedule WHERE name = NEW.name);
    SELECT RAISE(ABORT, 'This schedule is declared in code. Take it out there and deploy, or pause it.')
    WHERE EXISTS (
        SELECT 1 FROM backroom_schedule
        WHERE name = NEW.name AND source = 'code' AND retired_at IS NULL
    );
    UPDATE backroom_schedule SET
        retired_at = (SELECT now_us FROM backroom_clock), next_at = NULL
    WHERE name = NEW.name AND retired_at IS NULL;
END;
