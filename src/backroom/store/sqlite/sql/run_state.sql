-- Where a run stands, ended or not: state, attempt. No row: there is no such run. A scheduled run whose
-- time has come counts as ready.
SELECT
    CASE
        WHEN l.state = 'scheduled' AND l.available_at <= (SELECT now_us FROM backroom_clock) THEN 'ready'
        ELSE coalesce(l.state, e.state)
    END,
    coalesce(l.attempt, e.attempt)
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
WHERE r.id = ?
