SELECT 1 FROM backroom_schedule WHERE name = ? AND series = ? AND retired_at IS NULL
