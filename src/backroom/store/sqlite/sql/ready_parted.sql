-- Timers of runs with a partition that have come due: from now on they stand by it.
UPDATE backroom_live SET state = 'ready' WHERE id IN (
    SELECT l.id FROM json_each(?3) AS p CROSS JOIN backroom_live AS l INDEXED BY backroom_live_due
    WHERE (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
      AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
      AND l.queue = ?2 AND l.priority = p.value AND l.available_at <= ?1
      AND l.partition IS NOT NULL
    LIMIT ?4
)
