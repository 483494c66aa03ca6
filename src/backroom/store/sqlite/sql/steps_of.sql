SELECT run_id, address, name, kind, state, result, error, fingerprint, tries, started_at, finished_at
FROM backroom_step WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, address
