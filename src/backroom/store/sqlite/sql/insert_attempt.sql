INSERT INTO backroom_attempt (run_id, attempt, worker, started_at, ended_at, outcome, error)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
