-- Gives back what a worker holds (but for what it still has in memory), as if it had stopped.
UPDATE backroom.live AS l
SET state = 'ready', available_at = backroom.now_us(), starts = greatest(l.starts - 1, 0),
    worker = NULL
WHERE l.worker = %(worker)s AND l.state = 'running'
  AND ROW (l.id, l.attempt) NOT IN (
    SELECT h.id, h.attempt FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS h (id, attempt)
)
RETURNING l.id::text
