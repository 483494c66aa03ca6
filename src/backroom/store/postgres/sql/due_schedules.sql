SELECT
    s.name, s.flow, s.input, s.calendar, s.options, s.source, s.made_by, s.series, s.since,
    s.place, s.next_at, s.last_run::text, s.paused_at, s.paused_by, s.resumed_at, s.retired_at,
    s.error, p.lives,
    CASE WHEN p.lives THEN (
        SELECT count(*) FROM (
            SELECT k.run_id FROM backroom.slot AS k WHERE k.schedule = s.name
            ORDER BY k.series DESC, k.place DESC LIMIT %(most)s
        ) AS newest
        WHERE EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = newest.run_id)
    ) ELSE 0 END
FROM backroom.schedule AS s
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT 1 FROM backroom.live AS l WHERE l.id = s.last_run) AS lives
) AS p
WHERE s.next_at IS NOT NULL AND s.retired_at IS NULL AND s.next_at <= backroom.now_us()
  AND s.flow = ANY (%(flows)s::text[])
ORDER BY s.next_at LIMIT %(limit)s
