SELECT
    name, flow, input, calendar, options, source, made_by, series, since, place, next_at, last_run,
    paused_at, paused_by, resumed_at, retired_at, error
FROM backroom_schedule WHERE ?1 IS NULL OR name = ?1 ORDER BY name
