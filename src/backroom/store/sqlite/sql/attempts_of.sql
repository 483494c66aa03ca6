SELECT run_id, attempt, worker, started_at, ended_at, outcome, error
FROM backroom_attempt WHERE run_id = ? ORDER BY attempt
