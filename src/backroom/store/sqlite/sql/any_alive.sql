-- Whether any run of these windows is alive.
SELECT 1 FROM json_each(?) AS g
WHERE EXISTS (
    SELECT 1 FROM backroom_live AS l
    WHERE l.id BETWEEN substr(g.value, 1, 36) AND substr(g.value, 38)
)
LIMIT 1
