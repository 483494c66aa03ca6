-- Those of these windows in which no run is live.
SELECT value FROM json_each(?) AS q
WHERE NOT EXISTS (
    SELECT 1 FROM backroom_live AS l WHERE l.id BETWEEN substr(q.value, 1, 36) AND substr(q.value, 38)
)
