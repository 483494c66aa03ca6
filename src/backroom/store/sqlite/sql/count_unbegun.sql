-- How many runs of a queue have not begun, counted up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM backroom_live AS l INDEXED BY backroom_live_due
    WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
      AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
      AND l.queue = ?1 AND l.started_at IS NULL
    UNION ALL
    SELECT 1 FROM backroom_live AS l INDEXED BY backroom_live_parted
    WHERE l.state = 'ready' AND l.priority < 10 AND l.partition IS NOT NULL AND l.queue = ?1 AND l.started_at IS NULL
    LIMIT ?2
)
