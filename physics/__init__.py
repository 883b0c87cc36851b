"""What the laws are: each engine declares its equations and never advances time."""
