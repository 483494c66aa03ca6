-- When the next run comes due, and whether a queue has rules that this claim has passed over.
SELECT min(due.available_at), EXISTS (
    SELECT 1 FROM backroom.queue AS q WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled OFFSET 0
)
FROM unnest(%(queues)s::text[], %(priorities)s::int[]) AS line (queue, priority)
CROSS JOIN LATERAL (
    SELECT l.available_at FROM backroom.live AS l
    WHERE l.queue = line.queue AND l.priority = line.priority
      AND l.state IN ('ready', 'scheduled', 'waiting')
      AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
      AND l.available_at > backroom.now_us()
    ORDER BY l.available_at LIMIT 1
) AS due
