-- The lines of locks are changed by one transaction at a time. Before any row is locked, so that this
-- and the rows are never waited for crosswise; by those that end runs only if these stand in lines.
SELECT backroom.one_at_a_time()
WHERE %(surely)s::boolean OR EXISTS (
    SELECT 1 FROM backroom.lock AS k WHERE k.run_id = ANY (%(ids)s::uuid[]) OFFSET 0
)
