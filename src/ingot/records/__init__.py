"""What Ingot talks about, as frozen values: pure, without behaviour that touches the world."""
