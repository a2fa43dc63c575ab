"""Discrete-event simulation of a whole pipeline, run by the product's own queues, batch rules, stages and policies. Pure: numpy and no edges."""
