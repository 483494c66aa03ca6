SELECT place, at, last_at, count, decision, run_id::text, reason, decided_at, schedule, series
FROM backroom.slot WHERE schedule = %(schedule)s::text
ORDER BY series DESC, place DESC LIMIT %(limit)s
