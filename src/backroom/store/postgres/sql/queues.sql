-- How queues stand: those that have a row or live runs; `queue`: this one alone. It reads the hot rows.
SELECT
    coalesce(q.name, s.queue), q.concurrency, q.per_partition, q.rate, q.per_us, q.burst,
    q.max_waiting, q.paused_at, q.paused_by, coalesce(s.due, 0), coalesce(s.later, 0),
    coalesce(s.parked, 0), coalesce(s.running, 0), coalesce(s.aside, 0), s.oldest_due_at,
    q.full_at - (q.burst - 1) * q.interval_us, q.set_by
FROM (
    SELECT * FROM backroom.queue AS q WHERE %(queue)s::text IS NULL OR q.name = %(queue)s
) AS q
FULL JOIN (
    SELECT
        l.queue,
        count(*) FILTER (WHERE l.state IN ('ready', 'scheduled', 'waiting') AND l.available_at <= c.now)
            AS due,
        count(*) FILTER (WHERE l.state IN ('ready', 'scheduled') AND l.available_at > c.now) AS later,
        count(*) FILTER (WHERE l.state = 'waiting' AND l.available_at > c.now) AS parked,
        count(*) FILTER (WHERE l.state = 'running') AS running,
        count(*) FILTER (WHERE l.state = 'needs_attention') AS aside,
        min(l.available_at) FILTER (
            WHERE l.state IN ('ready', 'scheduled', 'waiting') AND l.available_at <= c.now
        ) AS oldest_due_at
    FROM backroom.live AS l, (SELECT backroom.now_us() AS now) AS c
    WHERE %(queue)s::text IS NULL OR l.queue = %(queue)s
    GROUP BY l.queue
) AS s ON s.queue = q.name
ORDER BY 1
