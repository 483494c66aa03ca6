"""What the benchmarks say about their figures. They are measured by hand, never in the suite."""
