SELECT min(due.available_at)
FROM unnest(%(queues)s::text[], %(priorities)s::int[]) AS line (queue, priority)
CROSS JOIN LATERAL (
    SELECT l.available_at FROM backroom.live AS l
    WHERE l.queue = line.queue AND l.priority = line.priority
      AND l.state IN ('ready', 'scheduled', 'waiting')
      AND l.available_at > backroom.now_us()
    ORDER BY l.available_at LIMIT 1
) AS due
