"""What depends on the operating system: locks, memory, worker processes, atomic writes, JSON files."""
