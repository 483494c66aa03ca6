-- As claim, from several queues: within one priority the longest due of all queues go first. Each
-- queue offers (and locks) up to the limit, and what isn't taken is free again at the commit.
WITH picked AS MATERIALIZED (
    SELECT best.place
    FROM generate_series(0, 9) AS rank (priority)
    CROSS JOIN LATERAL (
        SELECT due.place
        FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(floors)s::bigint[])
            AS line (queue, priority, floor)
        CROSS JOIN LATERAL (
            SELECT l.ctid AS place, l.id, l.available_at FROM backroom.live AS l
            WHERE l.queue = line.queue AND l.priority = line.priority
              AND l.state IN ('ready', 'scheduled', 'waiting') AND l.partition IS NULL
              AND l.available_at BETWEEN line.floor AND (SELECT backroom.now_us())
              AND l.flow = ANY (%(flows)s::text[])
            ORDER BY l.available_at, l.id
            LIMIT %(limit)s::int
            FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE line.priority = rank.priority AND line.queue <> ALL (ARRAY(
            SELECT q.name FROM backroom.queue AS q
            WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled
        ))
        ORDER BY due.available_at, due.id
        LIMIT %(limit)s::int
    ) AS best
    LIMIT %(limit)s::int
), taken AS (
    UPDATE backroom.live AS l
    SET state = 'running', attempt = greatest(l.attempt + 1, backroom.first_attempt()),
        starts = l.starts + 1, worker = %(worker)s,
        claimed_at = (SELECT backroom.now_us()),
        started_at = coalesce(l.started_at, (SELECT backroom.now_us()))
    WHERE l.ctid = ANY (ARRAY(SELECT p.place FROM picked AS p))
    RETURNING l.*
)
SELECT
    clock.now, t.id::text, t.flow, r.input, t.queue, t.attempt, t.starts, t.failures,
    t.parent_id::text, r.root_id::text, r.depth, r.key, r.created_at, t.deadline_at, t.cancel_reason,
    t.priority, t.available_at, t.expires_at, r.subject
FROM (SELECT backroom.now_us() AS now) AS clock
LEFT JOIN (
    taken AS t CROSS JOIN LATERAL (SELECT * FROM backroom.run AS r WHERE r.id = t.id OFFSET 0) AS r
) ON true
ORDER BY t.priority, t.available_at, t.id
