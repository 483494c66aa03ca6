-- Timers of runs with a partition that have come due: from now on they stand by it.
WITH due AS MATERIALIZED (
    SELECT due.place
    FROM unnest(%(queues)s::text[], %(priorities)s::int[]) AS line (queue, priority)
    CROSS JOIN LATERAL (
        SELECT l.ctid AS place FROM backroom.live AS l
        WHERE l.queue = line.queue AND l.priority = line.priority
          AND l.state IN ('ready', 'scheduled', 'waiting')
          AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
          AND l.available_at <= backroom.now_us() AND l.partition IS NOT NULL
        ORDER BY l.available_at, l.id
        LIMIT %(sweep)s::int
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE line.queue = ANY (ARRAY(
        SELECT q.name FROM backroom.queue AS q
        WHERE q.name = ANY (string_to_array(current_setting('backroom.held', true), ','))
          AND q.parted
    ))
)
UPDATE backroom.live AS l SET state = 'ready' WHERE l.ctid = ANY (ARRAY(SELECT d.place FROM due AS d))
