INSERT INTO backroom_add_schedule (name, flow, calendar, input, options, made_by, source)
VALUES (?, ?, ?, ?, ?, ?, ?)
