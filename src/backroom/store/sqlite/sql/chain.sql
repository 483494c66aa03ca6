-- A run and those that caused it, up to the first one.
WITH RECURSIVE chain (id, flow, started_by, cause_id, parent_id, root_id, depth, n) AS (
    SELECT id, flow, started_by, cause_id, parent_id, root_id, depth, 0
    FROM backroom_run WHERE id = ?
    UNION ALL
    SELECT r.id, r.flow, r.started_by, r.cause_id, r.parent_id, r.root_id, r.depth, chain.n + 1
    FROM chain JOIN backroom_run AS r ON r.id = chain.cause_id
    WHERE chain.n < 1000
)
SELECT id, flow, started_by, parent_id, root_id, depth FROM chain ORDER BY n
