"""The shapes a load can have; jobs/producer.py states the formula of each."""

from enum import StrEnum


class Shape(StrEnum):
    STEADY = "steady"
    WAVE = "wave"
    BURSTS = "bursts"
    POISSON = "poisson"
