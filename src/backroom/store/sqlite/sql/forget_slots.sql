DELETE FROM backroom_slot
WHERE (schedule, series, place) IN (
    SELECT schedule, series, place FROM backroom_slot WHERE schedule = ?1
    ORDER BY series, place LIMIT 10
) AND decided_at < ?2
