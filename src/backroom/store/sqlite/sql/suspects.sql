-- A row for each suspect that is due, up to a limit; one look into the index per queue and line.
SELECT 1
FROM json_each(?2) AS q CROSS JOIN json_each(?3) AS p
CROSS JOIN backroom_live AS l INDEXED BY backroom_live_due
WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
  AND l.queue = q.value AND l.priority = p.value
  AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
  AND l.available_at <= (SELECT now_us FROM backroom_clock)
  AND l.flow IN (SELECT value FROM json_each(?4))
LIMIT ?1
