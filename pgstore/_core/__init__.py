"""What needs no connection: arguments, values, statements, and what errors mean."""
