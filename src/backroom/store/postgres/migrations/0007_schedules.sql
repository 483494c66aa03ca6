-- Schedules, and what became of their slots.
--
--   schedule   what is due when; `place` is how far its slots have been decided
--   slot       a decision about a slot, or about several in a row of which none was started. Its key
--              is what lets twenty workers start a slot once
--
-- `calendar` and `options` are JSON that a worker reads; SQL can't tell whether they make sense.
-- `next_at`: when a worker has to look again; at once for a schedule that is new or has changed.
-- `series` rises when the calendar changes, since places of two calendars can't be compared.
CREATE TABLE backroom.schedule (
    series     bigint NOT NULL,
    since      bigint NOT NULL,
    place      bigint,
    next_at    bigint,
    last_run   uuid,
    paused_at  bigint,
    resumed_at bigint,
    retired_at bigint,
    changed_at bigint NOT NULL,
    name       text PRIMARY KEY,
    flow       text NOT NULL,
    input      text NOT NULL,
    calendar   text NOT NULL,
    options    text NOT NULL,
    source     text NOT NULL,
    made_by    text NOT NULL,
    paused_by  text,
    error      text
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    vacuum_truncate = off
);
CREATE INDEX schedule_next ON backroom.schedule (next_at)
    WHERE next_at IS NOT NULL AND retired_at IS NULL;

CREATE TABLE backroom.slot (
    series     bigint NOT NULL,
    place      bigint NOT NULL,
    at         bigint NOT NULL,
    last_at    bigint NOT NULL,
    count      bigint NOT NULL,
    decided_at bigint NOT NULL,
    run_id     uuid,
    schedule   text NOT NULL,
    decision   text NOT NULL,
    reason     text,
    PRIMARY KEY (schedule, series, place)
);
CREATE INDEX slot_run ON backroom.slot (run_id) WHERE run_id IS NOT NULL;

-- Public: columns are added, never renamed or removed.
CREATE VIEW backroom.schedules AS
SELECT
    s.name, s.flow, s.input::json AS input, s.calendar::json AS calendar,
    s.options::json AS options, s.source, s.made_by, backroom.time_of(s.next_at) AS next_at,
    s.last_run,
    CASE WHEN s.resumed_at IS NULL THEN backroom.time_of(s.paused_at) END AS paused_at,
    CASE WHEN s.resumed_at IS NULL THEN s.paused_by END AS paused_by,
    backroom.time_of(s.retired_at) AS retired_at, s.error
FROM backroom.schedule AS s;

CREATE VIEW backroom.slots AS
SELECT
    s.schedule, backroom.time_of(s.at) AS slot, backroom.time_of(s.last_at) AS last_slot,
    s.count, s.decision, s.run_id, s.reason, backroom.time_of(s.decided_at) AS decided_at
FROM backroom.slot AS s;

-- Adds a schedule, or changes it. A calendar that stays as it is goes on where it was; another one
-- counts from now, and so does one that had been removed.
CREATE FUNCTION backroom.add_schedule(
    name text,
    flow text,
    calendar json,
    input json DEFAULT '{}',
    options json DEFAULT '{}',
    made_by text DEFAULT '',
    source text DEFAULT 'sql'
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now bigint := backroom.now_us();
    found backroom.schedule%ROWTYPE;
    given_input text := coalesce(add_schedule.input::text, '{}');
    given_options text := coalesce(add_schedule.options::text, '{}');
BEGIN
    IF (add_schedule.name ~ '^[A-Za-z_][A-Za-z0-9_.:-]*$' AND length(add_schedule.name) <= 200
        AND add_schedule.flow ~ '^[A-Za-z_][A-Za-z0-9_.:-]*$' AND length(add_schedule.flow) <= 200
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'A schedule or flow can''t be called % or %.',
            add_schedule.name, add_schedule.flow
            USING ERRCODE = '22023', HINT = 'Use letters, digits and _ . : - only, starting with '
                'a letter, at most 200 characters.';
    ELSIF (json_typeof(add_schedule.calendar) = 'object' AND json_typeof(given_input::json) = 'object'
        AND json_typeof(given_options::json) = 'object' AND octet_length(given_input) <= 1048576
        AND octet_length(add_schedule.calendar::text) <= 4096
        AND octet_length(given_options) <= 4096
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'The calendar, the input or the options can''t be these.'
            USING ERRCODE = '22023', HINT = 'Use JSON objects: {"cron": "30 2 * * *"}, the flow''s '
                'parameters by name, {"missed": "skip"}.';
    END IF;
    INSERT INTO backroom.schedule (
        name, flow, input, calendar, options, source, made_by, series, since, next_at, changed_at
    )
    VALUES (
        add_schedule.name, add_schedule.flow, given_input, add_schedule.calendar::text,
        given_options, add_schedule.source, coalesce(add_schedule.made_by, ''), 1, now, now, now
    )
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO found FROM backroom.schedule AS s WHERE s.name = add_schedule.name FOR UPDATE;
    IF found.source = 'code' AND found.retired_at IS NULL AND add_schedule.source <> 'code' THEN
        RAISE EXCEPTION 'The schedule % is declared in code.', add_schedule.name
            USING ERRCODE = '55000', HINT = 'Change it there and deploy, or pause it.';
    ELSIF found.calendar <> add_schedule.calendar::text OR found.retired_at IS NOT NULL THEN
        UPDATE backroom.schedule AS s
        SET series = s.series + 1, since = now, place = NULL, retired_at = NULL,
            calendar = add_schedule.calendar::text
        WHERE s.name = add_schedule.name;
    ELSIF (found.flow, found.input, found.options, found.source)
        = (add_schedule.flow, given_input, given_options, add_schedule.source)
        AND found.error IS NULL
    THEN
        RETURN;
    END IF;
    UPDATE backroom.schedule AS s
    SET flow = add_schedule.flow, input = given_input, options = given_options,
        source = add_schedule.source, made_by = coalesce(add_schedule.made_by, ''), error = NULL,
        next_at = now, changed_at = now
    WHERE s.name = add_schedule.name;
END
$$;

CREATE FUNCTION backroom.pause_schedule(name text, paused_by text DEFAULT '') RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM backroom.schedule_there(pause_schedule.name);
    UPDATE backroom.schedule AS s
    SET paused_at = backroom.now_us(), resumed_at = NULL,
        paused_by = left(coalesce(pause_schedule.paused_by, ''), 500)
    WHERE s.name = pause_schedule.name AND (s.paused_at IS NULL OR s.resumed_at IS NOT NULL);
END
$$;

CREATE FUNCTION backroom.resume_schedule(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM backroom.schedule_there(resume_schedule.name);
    UPDATE backroom.schedule AS s SET resumed_at = backroom.now_us()
    WHERE s.name = resume_schedule.name AND s.paused_at IS NOT NULL AND s.resumed_at IS NULL;
END
$$;

CREATE FUNCTION backroom.remove_schedule(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM backroom.schedule AS s WHERE s.name = remove_schedule.name) THEN
        PERFORM backroom.schedule_there(remove_schedule.name);
    ELSIF EXISTS (
        SELECT 1 FROM backroom.schedule AS s
        WHERE s.name = remove_schedule.name AND s.source = 'code' AND s.retired_at IS NULL
    ) THEN
        RAISE EXCEPTION 'The schedule % is declared in code.', remove_schedule.name
            USING ERRCODE = '55000', HINT = 'Take it out there and deploy, or pause it.';
    END IF;
    UPDATE backroom.schedule AS s SET retired_at = backroom.now_us(), next_at = NULL
    WHERE s.name = remove_schedule.name AND s.retired_at IS NULL;
END
$$;

CREATE FUNCTION backroom.schedule_there(name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM backroom.schedule AS s
        WHERE s.name = schedule_there.name AND s.retired_at IS NULL
    ) THEN
        RAISE EXCEPTION 'There is no schedule %.', schedule_there.name
            USING ERRCODE = 'P0002', HINT = 'Look at backroom.schedules.';
    END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION
    backroom.add_schedule(text, text, json, json, json, text, text),
    backroom.pause_schedule(text, text),
    backroom.resume_schedule(text),
    backroom.remove_schedule(text)
FROM PUBLIC;
