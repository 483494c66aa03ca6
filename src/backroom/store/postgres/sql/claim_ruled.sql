-- As claim_from_several, heeding the rules of queues whose locks this transaction has (lock_queues);
-- those that others have, and paused ones, give nothing.
--
--   held    the queues, each with its room: its limit less what is running, and its rate's tokens
--   line    queues and priorities to look at; a queue without rules has as much room as is wanted
--   part    (not for suspects, who come one at a time) partitions with ready runs, found from one to the next: a look for each, not for each run
--   offer   the first runs of every line and partition; `load` is how many of its partition would
--           run then, so that the partition with the fewest comes first
--   turn    the order within a queue, cut off at its room
--   placed  the order of all queues: by priority and by how long they are due; a parted queue stands
--           where the longest waiting run does that it offers at this priority
WITH RECURSIVE held AS MATERIALIZED (
    SELECT
        q.name, q.parted, q.per_partition, least(
            %(limit)s::int,
            q.concurrency - (
                SELECT count(*) FROM backroom.live AS l
                WHERE l.queue = q.name AND l.counted AND l.worker IS NOT NULL
            ),
            (q.burst * q.interval_us - greatest(q.full_at - n.now, 0)) / q.interval_us
        )::int AS room
    FROM (SELECT backroom.now_us() AS now) AS n
    CROSS JOIN backroom.queue AS q
    WHERE q.name = ANY (string_to_array(current_setting('backroom.held', true), ','))
      AND q.name = ANY (%(queues)s::text[])
), line AS MATERIALIZED (
    SELECT
        g.queue, g.priority, g.floor, coalesce(h.room, %(limit)s::int) AS room, h.per_partition
    FROM unnest(%(queues)s::text[], %(priorities)s::int[], %(floors)s::bigint[])
        AS g (queue, priority, floor)
    LEFT JOIN held AS h ON h.name = g.queue
    WHERE h.room > 0 OR g.queue <> ALL (ARRAY(
        SELECT q.name FROM backroom.queue AS q
        WHERE q.name = ANY (%(queues)s::text[]) AND q.ruled
    ))
), part (queue, partition) AS (
    SELECT h.name, least_one.partition
    FROM held AS h
    CROSS JOIN LATERAL (
        SELECT l.partition FROM backroom.live AS l
        WHERE l.queue = h.name AND l.partition IS NOT NULL AND l.state = 'ready'
          AND l.priority < 10
        ORDER BY l.partition LIMIT 1
    ) AS least_one
    WHERE h.parted AND h.room > 0 AND %(parted)s::boolean
    UNION ALL
    SELECT p.queue, next_one.partition
    FROM part AS p
    CROSS JOIN LATERAL (
        SELECT l.partition FROM backroom.live AS l
        WHERE l.queue = p.queue AND l.partition > p.partition AND l.state = 'ready'
          AND l.priority < 10
        ORDER BY l.partition LIMIT 1
    ) AS next_one
), offer AS (
    SELECT due.id, line.queue, line.priority, due.available_at, 0 AS load
    FROM line
    CROSS JOIN LATERAL (
        SELECT l.id, l.available_at FROM backroom.live AS l
        WHERE l.queue = line.queue AND l.priority = line.priority
          AND l.state IN ('ready', 'scheduled', 'waiting')
          AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10)
          AND (l.partition IS NULL OR l.priority >= 10 AND coalesce(line.per_partition > (
              SELECT count(*) FROM backroom.live AS b
              WHERE b.queue = line.queue AND b.partition = l.partition
                AND b.counted AND b.worker IS NOT NULL
          ), true))
          AND l.available_at BETWEEN line.floor AND backroom.now_us()
          AND l.flow = ANY (%(flows)s::text[])
        ORDER BY l.available_at, l.id
        LIMIT line.room
        FOR UPDATE SKIP LOCKED
    ) AS due
    UNION ALL
    SELECT
        head.id, p.queue, head.priority, head.available_at,
        busy.runs + row_number() OVER (
            PARTITION BY p.queue, p.partition ORDER BY head.priority, head.available_at, head.id
        )
    FROM part AS p
    JOIN held AS h ON h.name = p.queue
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs FROM backroom.live AS l
        WHERE l.queue = p.queue AND l.partition = p.partition
          AND l.counted AND l.worker IS NOT NULL
        OFFSET 0
    ) AS busy
    CROSS JOIN LATERAL (
        SELECT l.id, l.priority, l.available_at FROM backroom.live AS l
        WHERE l.queue = p.queue AND l.partition = p.partition AND l.state = 'ready'
          AND l.priority < 10 AND l.flow = ANY (%(flows)s::text[])
        ORDER BY l.priority, l.available_at, l.id
        LIMIT greatest(0, least(h.room, h.per_partition - busy.runs))
    ) AS head
), turned AS (
    SELECT
        o.*, h.parted,
        row_number() OVER (
            PARTITION BY o.queue ORDER BY o.priority, o.load, o.available_at, o.id
        ) AS turn,
        coalesce(h.room, %(limit)s::int) AS room
    FROM offer AS o LEFT JOIN held AS h ON h.name = o.queue
), placed AS (
    SELECT
        t.id, t.priority, CASE WHEN t.parted THEN t.turn - 1 ELSE 0 END AS turn,
        CASE WHEN t.parted THEN min(t.available_at) OVER (PARTITION BY t.queue, t.priority)
            ELSE t.available_at END AS since
    FROM turned AS t WHERE t.turn <= t.room
), picked AS MATERIALIZED (
    SELECT t.id, row_number() OVER (ORDER BY t.priority, t.since, t.turn, t.id) AS place
    FROM placed AS t
    ORDER BY t.priority, t.since, t.turn, t.id LIMIT %(limit)s::int
), locked AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.id = ANY (ARRAY(SELECT p.id FROM picked AS p))
      AND l.state IN ('ready', 'scheduled', 'waiting')
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE backroom.live AS l
    SET state = 'running', attempt = greatest(l.attempt + 1, backroom.first_attempt()),
        starts = l.starts + 1, worker = %(worker)s, claimed_at = backroom.now_us(), started_at = coalesce(l.started_at, backroom.now_us()),
        counted = CASE WHEN l.queue = ANY (ARRAY(SELECT h.name FROM held AS h)) THEN true ELSE l.counted END
    WHERE l.id = ANY (ARRAY(SELECT k.id FROM locked AS k))
    RETURNING l.*
), spent AS (
    UPDATE backroom.queue AS q
    SET full_at = greatest(q.full_at, backroom.now_us()) + q.interval_us * t.runs
    FROM (SELECT t.queue, count(*) AS runs FROM taken AS t GROUP BY t.queue) AS t
    WHERE q.name = t.queue AND q.interval_us IS NOT NULL
)
SELECT
    clock.now, t.id::text, t.flow, t.input, t.queue, t.attempt, t.starts, t.failures,
    t.parent_id::text, t.root_id::text, t.depth, t.key, t.created_at, t.deadline_at,
    t.cancel_reason, t.priority, t.available_at, t.expires_at, t.subject
FROM (SELECT backroom.now_us() AS now) AS clock
LEFT JOIN (
    SELECT t.*, r.input, r.root_id, r.depth, r.key, r.created_at, r.subject, p.place
    FROM taken AS t
    JOIN picked AS p ON p.id = t.id
    CROSS JOIN LATERAL (SELECT * FROM backroom.run AS r WHERE r.id = t.id OFFSET 0) AS r
) AS t ON true
ORDER BY t.place
