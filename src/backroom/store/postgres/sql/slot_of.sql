SELECT place, at, last_at, count, decision, run_id::text, reason, decided_at, schedule, series
FROM backroom.slot WHERE run_id = %(id)s::uuid
