DELETE FROM backroom_key WHERE (flow, key) IN (
    SELECT r.flow, r.key FROM json_each(?1) AS g CROSS JOIN backroom_run AS r ON r.id = g.value
    WHERE r.key IS NOT NULL
) AND run_id IN (SELECT value FROM json_each(?1))
