"""RECAP: reasoning models that catch flawed thoughts, trained and measured reproducibly."""
