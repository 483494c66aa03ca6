-- What is installed. Changes that are no runs yet are counted up to a limit.
SELECT
    t.name, t.table_name, t.flow, t.paused_at, t.paused_by, t.installed_at, t.started, t.merged,
    t.dropped,
    (SELECT count(*) FROM (
        SELECT 1 FROM backroom_change AS c WHERE c.trigger_id = t.id
        UNION ALL
        SELECT 1 FROM backroom_held AS h WHERE h.trigger_id = t.id
        LIMIT 10000
    )),
    coalesce(
        (SELECT min(h.at) FROM backroom_held AS h WHERE h.trigger_id = t.id),
        (SELECT min(c.at) FROM backroom_change AS c WHERE c.trigger_id = t.id)
    )
FROM backroom_trigger AS t ORDER BY t.name
