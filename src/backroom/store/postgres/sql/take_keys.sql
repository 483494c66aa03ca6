-- The first to store a key holds it; whoever comes second waits here for the first one's commit.
-- Sorted, so that two batches can't wait for one another in a circle.
INSERT INTO backroom.key (flow, key, run_id)
SELECT g.flow, g.key, g.id
FROM unnest(
    %(ids)s::uuid[], %(flows)s::text[], %(keys)s::text[], %(owners)s::uuid[], %(attempts)s::int[]
) AS g (id, flow, key, owner, attempt)
WHERE g.key IS NOT NULL AND (g.owner IS NULL OR EXISTS (
    SELECT 1 FROM backroom.live AS o
    WHERE o.id = g.owner AND o.attempt = g.attempt AND o.state = 'running' OFFSET 0
))
ORDER BY g.flow, g.key
ON CONFLICT DO NOTHING
