-- Wakes the parents of these runs, which are part of windows and have been ended by a statement
-- before, where none of the parent's window is live any more. The parents are locked since the first
-- statement of the transaction, so of two that end the last runs of a window the second sees this.
WITH waiting AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.state || '' = 'waiting' AND l.id = ANY (ARRAY(
        SELECT w.run_id FROM unnest(%(ids)s::uuid[]) AS g (id)
        CROSS JOIN LATERAL (
            SELECT r.parent_id FROM backroom.run AS r WHERE r.id = g.id OFFSET 0
        ) AS r
        CROSS JOIN LATERAL (
            SELECT w.run_id, w.name FROM backroom.wait AS w
            WHERE w.run_id = r.parent_id AND w.kind = 'children' OFFSET 0
        ) AS w
        WHERE NOT EXISTS (
            SELECT 1 FROM backroom.live AS m
            WHERE m.id BETWEEN split_part(w.name, '/', 1)::uuid AND split_part(w.name, '/', 2)::uuid
            OFFSET 0
        )
    ))
    ORDER BY l.id FOR UPDATE
)
UPDATE backroom.live AS p
SET state = 'ready', available_at = least(p.available_at, backroom.now_us())
WHERE p.id = ANY (ARRAY(SELECT w.id FROM waiting AS w))
