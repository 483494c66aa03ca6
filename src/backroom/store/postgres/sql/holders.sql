-- Running runs that a queue counts, the oldest first; `partition`: of this one alone.
SELECT l.id::text FROM backroom.live AS l
WHERE l.counted AND l.worker IS NOT NULL AND l.queue = %(queue)s
  AND (%(partition)s::text IS NULL OR l.partition = %(partition)s)
ORDER BY l.claimed_at, l.id LIMIT %(limit)s
