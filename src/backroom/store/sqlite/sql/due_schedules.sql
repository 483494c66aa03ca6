SELECT
    s.name, s.flow, s.input, s.calendar, s.options, s.source, s.made_by, s.series, s.since,
    s.place, s.next_at, s.last_run, s.paused_at, s.paused_by, s.resumed_at, s.retired_at, s.error,
    EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id = s.last_run),
    (
        SELECT count(*) FROM (
            SELECT k.run_id FROM backroom_slot AS k
            WHERE k.schedule = s.name AND EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id = s.last_run)
            ORDER BY k.series DESC, k.place DESC LIMIT ?3
        ) AS newest
        WHERE EXISTS (SELECT 1 FROM backroom_live AS l WHERE l.id = newest.run_id)
    )
FROM backroom_schedule AS s
WHERE s.next_at IS NOT NULL AND s.retired_at IS NULL
  AND s.next_at <= (SELECT now_us FROM backroom_clock)
  AND s.flow IN (SELECT value FROM json_each(?1))
ORDER BY s.next_at LIMIT ?2
