SELECT now_us FROM backroom_clock
