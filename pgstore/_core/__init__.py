"""The parts that need no connection: arguments, values, statements, and the meaning of errors."""
