-- Two that take up one run at once, or a prune, wait for one another here. The statement after this
-- one sees what the other has done.
SELECT 1 FROM backroom.result AS e WHERE e.run_id = %(id)s::uuid FOR UPDATE
