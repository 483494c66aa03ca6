SELECT count(*) FROM backroom_worker WHERE lease_until <= (SELECT now_us FROM backroom_clock)
