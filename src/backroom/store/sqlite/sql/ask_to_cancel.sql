UPDATE backroom_live SET cancel_reason = ? WHERE id = ? AND cancel_reason IS NULL
