VACUUM (FULL, ANALYZE)
    backroom.run, backroom.result, backroom.step, backroom.event, backroom.attempt,
    backroom.progress, backroom.key
