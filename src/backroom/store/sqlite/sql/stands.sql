-- How a run stands that its attempt no longer holds: has this verb been applied before?
SELECT state, attempt, starts FROM backroom_live WHERE id = ?
