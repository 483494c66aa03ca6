-- Takes due runs of one queue, unless it has rules (claim_ruled heeds those). The priorities are
-- looked at in their order and each look is a scan of the index from its floor on, in the order of
-- the index, so nothing is sorted and no row is locked that isn't taken: the inner scans stop when
-- the outer limit is reached. MATERIALIZED keeps the planner from running the choice twice, which
-- would take more than the limit.
WITH picked AS MATERIALIZED (
    SELECT due.place
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(floors)s::bigint[])
        AS line (queue, priority, floor)
    CROSS JOIN LATERAL (
        SELECT l.ctid AS place FROM backroom.live AS l
        WHERE l.queue = line.queue AND l.priority = line.priority
          AND l.state IN ('ready', 'scheduled', 'waiting') AND l.partition IS NULL
          AND l.available_at BETWEEN line.floor AND (SELECT backroom.now_us())
          AND l.flow = ANY (%(flows)s::text[])
        ORDER BY l.available_at, l.id
        LIMIT %(limit)s::int
        FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE line.queue <> ALL (ARRAY(
        SELECT q.name FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled
    ))
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
