-- What is installed. Changes that are no runs yet are counted up to a limit.
SELECT
    t.name, t.table_name, t.flow, t.paused_at, t.paused_by, t.installed_at,
    t.started, t.merged, t.dropped,
    (SELECT count(*) FROM (
        SELECT FROM backroom.change AS c WHERE c.trigger_id = t.id
        UNION ALL
        SELECT FROM backroom.held AS h WHERE h.trigger_id = t.id
        LIMIT 10000
    ) AS waiting),
    least(
        (SELECT min(c.at) FROM backroom.change AS c WHERE c.trigger_id = t.id),
        (SELECT min(h.at) FROM backroom.held AS h WHERE h.trigger_id = t.id)
    )
FROM backroom.trigger AS t ORDER BY t.name
