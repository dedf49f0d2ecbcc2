"""Where things are kept: one SQL database and one store of immutable objects. Knows nothing of builds."""
