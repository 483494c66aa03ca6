"""When does a run start by itself? Schedules: calendars, decisions about slots, the workers' part.

zones       between the clock on the wall and instants
calendars   which slots a schedule has: `cron`, `every`, `rrule`, `once`
planning    what becomes of the slots that are due
declared    what an author says about a schedule, as it is stored
scheduler   the worker's part: from due schedules to verbs
access      `app.schedules`: lists, previews, adds, pauses, removes
"""
