-- Where a run stands, ended or not: state, attempt. No row: there is no such run.
SELECT coalesce(l.state, e.state), coalesce(l.attempt, e.attempt)
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
WHERE r.id = ?
