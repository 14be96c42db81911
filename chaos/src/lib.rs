//! Fault tests for clusters: recorder, checker, faults and simulation.
