//! `dev`: placeholder until the simulated Asterisk is there.
