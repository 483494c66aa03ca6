SELECT source FROM backroom_schedule WHERE name = ? AND retired_at IS NULL
