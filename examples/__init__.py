"""Applications of a user's own that embed backroom. They use nothing but its public doors."""
