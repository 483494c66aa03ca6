-- The first of the runs whose ids lie between these two.
SELECT * FROM backroom_row WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3
