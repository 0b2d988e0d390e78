"""Operating system helpers: locks, memory, worker processes, atomic writes, JSON files."""
