"""The tests, a folder for each room of ``backroom``; ``postgres*.py`` bring real servers."""
