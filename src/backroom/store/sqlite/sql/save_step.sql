INSERT OR REPLACE INTO backroom_step
    (run_id, address, name, kind, state, result, error, fingerprint, tries, attempt, started_at, finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
