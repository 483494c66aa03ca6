SELECT a.run_id::text, a.attempt, a.worker, a.started_at, a.ended_at, a.outcome, a.error
FROM backroom.attempt AS a WHERE a.run_id = %(id)s::uuid ORDER BY a.attempt
