"""PicoClaw on one host: its state, the run contract, and what its words mean."""
