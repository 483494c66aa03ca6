UPDATE backroom_breaker SET probe = ?, probe_until = ? WHERE name = ?
