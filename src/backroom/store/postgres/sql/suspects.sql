-- How many suspects are due, up to a limit; one look into the index per queue and line.
SELECT count(*) FROM (
    SELECT 1
    FROM unnest(%(queues)s::text[], %(priorities)s::int[]) AS line (queue, priority)
    CROSS JOIN LATERAL (
        SELECT 1 FROM backroom.live AS l
        WHERE l.queue = line.queue AND l.priority = line.priority
          AND l.state IN ('ready', 'scheduled', 'waiting')
          AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
          AND l.available_at <= backroom.now_us()
          AND l.flow = ANY (%(flows)s::text[])
        LIMIT %(limit)s::int
    ) AS due
    LIMIT %(limit)s::int
) AS found
