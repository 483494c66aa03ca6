UPDATE backroom_event SET payload = ?2 WHERE id IN (
    SELECT e.id FROM json_each(?1) AS g CROSS JOIN backroom_event AS e INDEXED BY backroom_event_read
        ON e.run_id = g.value WHERE e.consumed_at IS NOT NULL
    UNION ALL
    SELECT e.id FROM json_each(?1) AS g CROSS JOIN backroom_event AS e INDEXED BY backroom_event_unread
        ON e.run_id = g.value WHERE e.consumed_at IS NULL
)
