-- What attempts left behind that no longer hold their runs; it tells a verb that comes late from
-- one that is repeated since the answer to its commit was lost.
SELECT
    g.id::text, g.attempt, a.outcome, e.state, e.attempt, l.state, l.attempt, l.starts,
    ARRAY(SELECT w.address FROM backroom.wait AS w WHERE w.run_id = g.id)
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS g (id, attempt)
LEFT JOIN backroom.attempt AS a ON a.run_id = g.id AND a.attempt = g.attempt
LEFT JOIN backroom.result AS e ON e.run_id = g.id
LEFT JOIN backroom.live AS l ON l.id = g.id
