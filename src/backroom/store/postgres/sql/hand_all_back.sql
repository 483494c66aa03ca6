UPDATE backroom.live AS l
SET state = 'ready', available_at = backroom.now_us(), starts = greatest(l.starts - 1, 0),
    worker = NULL
WHERE l.worker IS NOT NULL AND l.state = 'running'
