"""From a golden to a computer that somebody uses. Knows machines, stores and the rows of computers; knows no queue and
no stream."""
