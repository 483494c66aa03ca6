SELECT
    name, flow, input, calendar, options, source, made_by, series, since, place, next_at,
    last_run::text, paused_at, paused_by, resumed_at, retired_at, error
FROM backroom.schedule WHERE %(schedule)s::text IS NULL OR name = %(schedule)s::text ORDER BY name
