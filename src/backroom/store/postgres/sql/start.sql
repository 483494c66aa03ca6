-- Stores each run once, and only if it holds its key (if it has one), if the attempt that starts it
-- (if one does) still holds its own run, and if its queue has room. Answers whom a full queue refused.
WITH given AS MATERIALIZED (
    SELECT g.*, n.now, coalesce(g.at, n.now + g.delay_us) AS available_at
    FROM unnest(
        %(ids)s::uuid[], %(flows)s::text[], %(queues)s::text[], %(priorities)s::int[],
        %(keys)s::text[], %(inputs)s::text[], %(ats)s::bigint[], %(delays)s::bigint[],
        %(timeouts)s::bigint[], %(parents)s::uuid[], %(causes)s::uuid[], %(roots)s::uuid[],
        %(depths)s::int[], %(owners)s::uuid[], %(attempts)s::int[], %(partitions)s::text[],
        %(expiries)s::bigint[], %(lives)s::bigint[], %(subjects)s::text[],
        %(versions)s::int[], %(served)s::text[]
    ) WITH ORDINALITY AS g (
        id, flow, queue, priority, key, input, at, delay_us, timeout_us, parent_id, cause_id,
        root_id, depth, owner, attempt, partition, expires_at, expires_us,
        subject, version, served, place
    ), (SELECT backroom.now_us() AS now) AS n
), full_queue AS MATERIALIZED (
    -- What a queue takes in at most, less what has not begun; only of queues that say so.
    SELECT q.name, q.max_waiting - (
        SELECT count(*) FROM (
            SELECT 1 FROM backroom.live AS l
            WHERE l.queue = q.name AND l.state IN ('ready', 'scheduled', 'waiting')
              AND (l.partition IS NULL OR l.state <> 'ready' OR l.priority >= 10) AND l.started_at IS NULL
            UNION ALL
            SELECT 1 FROM backroom.live AS l
            WHERE l.queue = q.name AND l.partition IS NOT NULL AND l.state = 'ready'
              AND l.priority < 10 AND l.started_at IS NULL
            LIMIT q.max_waiting
        ) AS unbegun
    ) AS room
    FROM backroom.queue AS q
    WHERE q.max_waiting IS NOT NULL AND q.name = ANY (%(queues)s::text[])
), refused AS MATERIALIZED (
    SELECT c.id FROM (
        SELECT g.id, f.room, row_number() OVER (PARTITION BY g.queue ORDER BY g.place) AS turn
        FROM full_queue AS f JOIN given AS g ON g.queue = f.name
        WHERE g.cause_id IS NULL
          AND NOT EXISTS (SELECT 1 FROM backroom.run AS r WHERE r.id = g.id OFFSET 0)
          AND (g.key IS NULL OR EXISTS (
              SELECT 1 FROM backroom.key AS k
              WHERE k.flow = g.flow AND k.key = g.key AND k.run_id = g.id OFFSET 0
          ))
    ) AS c
    WHERE c.turn > c.room
), unkeyed AS (
    DELETE FROM backroom.key AS k USING (
        SELECT held.place FROM refused AS f JOIN given AS g ON g.id = f.id
        CROSS JOIN LATERAL (
            SELECT k.ctid AS place FROM backroom.key AS k
            WHERE k.flow = g.flow AND k.key = g.key AND k.run_id = g.id OFFSET 0
        ) AS held
    ) AS d
    WHERE k.ctid = d.place
), stored AS (
    INSERT INTO backroom.run (
        id, flow, queue, priority, key, input, timeout_us, parent_id, cause_id, root_id, depth,
        created_at, partition, subject, version
    )
    SELECT
        g.id, g.flow, g.queue, g.priority, g.key, g.input, g.timeout_us, g.parent_id, g.cause_id,
        g.root_id, g.depth, g.now, g.partition, g.subject, g.version
    FROM given AS g
    WHERE g.id <> ALL (ARRAY(SELECT f.id FROM refused AS f)) AND (g.key IS NULL OR EXISTS (
        SELECT 1 FROM backroom.key AS k
        WHERE k.flow = g.flow AND k.key = g.key AND k.run_id = g.id OFFSET 0
    )) AND (g.owner IS NULL OR EXISTS (
        SELECT 1 FROM backroom.live AS o
        WHERE o.id = g.owner AND o.attempt = g.attempt AND o.state = 'running' OFFSET 0
    ))
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), stood AS (
    INSERT INTO backroom.live (
        id, flow, queue, priority, state, available_at, deadline_at, parent_id, partition,
        expires_at
    )
    SELECT
        g.id, g.served, g.queue, g.priority,
        CASE WHEN g.available_at > g.now THEN 'scheduled' ELSE 'ready' END,
        g.available_at, g.available_at + g.timeout_us, g.parent_id, g.partition,
        coalesce(g.expires_at, g.available_at + g.expires_us)
    FROM (
        -- A full join can't be done in a loop in a loop, whatever the planner thinks of the numbers.
        SELECT g.*, s.id AS stored FROM given AS g FULL JOIN stored AS s ON s.id = g.id OFFSET 0
    ) AS g
    WHERE g.stored IS NOT NULL
)
SELECT f.id::text FROM refused AS f
