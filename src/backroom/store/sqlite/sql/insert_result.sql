INSERT INTO backroom_result (run_id, state, attempt, result, error, worker, started_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
