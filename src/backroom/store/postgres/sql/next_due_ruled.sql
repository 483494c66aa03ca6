-- As next_due, and when the next token of a rate comes, and whether a queue was locked by others.
SELECT
    least(min(due.available_at), (
        SELECT min(q.full_at - (q.burst - 1) * q.interval_us) FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.interval_us IS NOT NULL
          AND q.paused_at IS NULL
          AND q.full_at - (q.burst - 1) * q.interval_us > backroom.now_us()
    )),
    EXISTS (
        SELECT 1 FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled OFFSET 0
    ),
    EXISTS (
        SELECT 1 FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled AND q.paused_at IS NULL
          AND q.name <> ALL (string_to_array(current_setting('backroom.held', true), ',')) OFFSET 0
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
