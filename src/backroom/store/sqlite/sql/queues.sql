-- How queues stand: those that have a row or live runs; ?1: this one alone. A walk of the hot rows.
SELECT
    n.name, q.concurrency, q.per_partition, q.rate, q.per_us, q.burst, q.max_waiting,
    q.paused_at, q.paused_by, coalesce(s.due, 0), coalesce(s.later, 0), coalesce(s.parked, 0),
    coalesce(s.running, 0), coalesce(s.aside, 0), s.oldest_due_at,
    q.full_at - (q.burst - 1) * q.interval_us, q.set_by
FROM (
    SELECT name FROM backroom_queue WHERE ?1 IS NULL OR name = ?1
    UNION
    SELECT queue FROM backroom_live WHERE ?1 IS NULL OR queue = ?1
) AS n
LEFT JOIN backroom_queue AS q ON q.name = n.name
LEFT JOIN (
    SELECT
        l.queue,
        sum(l.state IN ('ready', 'scheduled', 'waiting') AND l.available_at <= c.now_us) AS due,
        sum(l.state IN ('ready', 'scheduled') AND l.available_at > c.now_us) AS later,
        sum(l.state = 'waiting' AND l.available_at > c.now_us) AS parked,
        sum(l.state = 'running') AS running,
        sum(l.state = 'needs_attention') AS aside,
        min(CASE WHEN l.state IN ('ready', 'scheduled', 'waiting') AND l.available_at <= c.now_us
            THEN l.available_at END) AS oldest_due_at
    FROM backroom_live AS l, backroom_clock AS c
    WHERE ?1 IS NULL OR l.queue = ?1
    GROUP BY l.queue
) AS s ON s.queue = n.name
ORDER BY n.name
