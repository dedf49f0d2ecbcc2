"""From a golden to a computer that somebody uses. Knows machines and stores; knows no database, queue or stream."""
