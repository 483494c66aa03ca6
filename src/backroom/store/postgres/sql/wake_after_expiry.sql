-- As wake_at_last_end, for the runs that the statement before has ended.
WITH waiting AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.state || '' = 'waiting' AND l.id = ANY (ARRAY(
        SELECT w.run_id FROM unnest(
            string_to_array(current_setting('backroom.expired', true), ',')::uuid[]
        ) AS g (id)
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
