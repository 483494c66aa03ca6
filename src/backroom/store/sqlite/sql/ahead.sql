-- How many due runs stand before this one, in its partition if it has one; counted up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM backroom_live AS m CROSS JOIN backroom_live AS l INDEXED BY backroom_live_due
        ON l.queue = m.queue
    WHERE m.id = ?1 AND m.partition IS NULL AND l.partition IS NULL
      AND (l.state = 'ready' OR l.state = 'scheduled' OR l.state = 'waiting')
      AND l.available_at <= (SELECT now_us FROM backroom_clock)
      AND (l.priority, l.available_at, l.id) < (m.priority, m.available_at, m.id)
    UNION ALL
    SELECT 1 FROM backroom_live AS m CROSS JOIN backroom_live AS l INDEXED BY backroom_live_parted
        ON l.queue = m.queue AND l.partition = m.partition
    WHERE m.id = ?1 AND l.state = 'ready' AND l.priority < 10
      AND (l.priority, l.available_at, l.id) < (m.priority, m.available_at, m.id)
    LIMIT ?2
)
