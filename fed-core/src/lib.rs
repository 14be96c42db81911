//! The federation's map, pure: types, commands, the state machine, routing and stored encoding.
