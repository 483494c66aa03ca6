-- Which database this is, whatever address led to it.
SELECT current_database()::text, min(m.applied_at AT TIME ZONE 'UTC')::text
FROM backroom.migration AS m
