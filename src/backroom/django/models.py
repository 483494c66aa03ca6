"""No models: our tables are our own. But `post_migrate` is sent to apps that have this module."""
