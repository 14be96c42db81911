//! Whole-system tests: clusters of real processes, the real-Asterisk lab, command-line and README tests.
