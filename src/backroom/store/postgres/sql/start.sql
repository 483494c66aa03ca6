-- Stores each run once, and only if it holds its key (if it has one) and if the attempt that
-- starts it (if one does) still holds its own run.
WITH given AS MATERIALIZED (
    SELECT g.*, n.now, coalesce(g.at, n.now + g.delay_us) AS available_at
    FROM unnest(
        %(ids)s::uuid[], %(flows)s::text[], %(queues)s::text[], %(priorities)s::int[],
        %(keys)s::text[], %(inputs)s::text[], %(ats)s::bigint[], %(delays)s::bigint[],
        %(timeouts)s::bigint[], %(parents)s::uuid[], %(causes)s::uuid[], %(roots)s::uuid[],
        %(depths)s::int[], %(owners)s::uuid[], %(attempts)s::int[]
    ) AS g (
        id, flow, queue, priority, key, input, at, delay_us, timeout_us, parent_id, cause_id,
        root_id, depth, owner, attempt
    ), (SELECT backroom.now_us() AS now) AS n
), stored AS (
    INSERT INTO backroom.run (
        id, flow, queue, priority, key, input, timeout_us, parent_id, cause_id, root_id, depth,
        created_at
    )
    SELECT
        g.id, g.flow, g.queue, g.priority, g.key, g.input, g.timeout_us, g.parent_id, g.cause_id,
        g.root_id, g.depth, g.now
    FROM given AS g
    WHERE (g.key IS NULL OR EXISTS (
        SELECT 1 FROM backroom.key AS k
        WHERE k.flow = g.flow AND k.key = g.key AND k.run_id = g.id OFFSET 0
    )) AND (g.owner IS NULL OR EXISTS (
        SELECT 1 FROM backroom.live AS o
        WHERE o.id = g.owner AND o.attempt = g.attempt AND o.state = 'running' OFFSET 0
    ))
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
INSERT INTO backroom.live (
    id, flow, queue, priority, state, available_at, deadline_at, parent_id
)
SELECT
    g.id, g.flow, g.queue, g.priority,
    CASE WHEN g.available_at > g.now THEN 'scheduled' ELSE 'ready' END,
    g.available_at, g.available_at + g.timeout_us, g.parent_id
FROM given AS g JOIN stored AS s ON s.id = g.id
