SELECT place, at, last_at, count, decision, run_id, reason, decided_at, schedule, series
FROM backroom_slot WHERE run_id = ?
