//! What every error means: a code for each kind, shown with the error, and `fed-node explain CODE`.
//!
//! [`Code`] is the list, [`explanations`] what each means; [`Coded`] says which code an error of a part has. Its matches name
//! every kind: a new kind of error without a code does not compile.

mod code;
mod kinds;
mod table;

pub use code::{Code, NoSuchCode};
pub use kinds::{Coded, attach, complete, of_status};
pub use table::{Explanation, explanations};
