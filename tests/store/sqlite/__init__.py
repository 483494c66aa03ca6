"""What only SQLite has: a file, its folder, and what can be wrong with them."""
