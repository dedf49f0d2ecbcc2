"""How a watched build looks: a pure model (`model`, `layout`) and what draws it (`painter`, `progress`)."""
