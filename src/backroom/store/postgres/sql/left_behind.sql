-- What attempts left behind that no longer hold their runs; it tells a verb that comes late from
-- one that is repeated since the answer to its commit was lost.
SELECT
    g.id::text, g.attempt, a.outcome, e.state, e.attempt, l.state, l.attempt, l.starts,
    ARRAY(SELECT w.address FROM backroom.wait AS w WHERE w.run_id = g.id)
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
LEFT JOIN LATERAL (
    SELECT a.outcome FROM backroom.attempt AS a
    WHERE a.run_id = g.id AND a.attempt = g.attempt OFFSET 0
) AS a ON true
LEFT JOIN LATERAL (
    SELECT e.state, e.attempt FROM backroom.result AS e WHERE e.run_id = g.id OFFSET 0
) AS e ON true
LEFT JOIN LATERAL (
    SELECT l.state, l.attempt, l.starts FROM backroom.live AS l WHERE l.id = g.id OFFSET 0
) AS l ON true
