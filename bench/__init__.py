"""How fast the fleet is, side by side with what people use instead, in one run on one machine."""
