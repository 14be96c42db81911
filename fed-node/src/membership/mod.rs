//! Changes of the members, planned before they are made: what there is before and after, and what can still be lost.
//!
//! [`plan`](self::plan()) is pure. A plan has a name, which says what is to be done and of which members it was made: `apply` makes
//! that plan anew and does it only when the name is still the same.

mod args;
mod id;
mod plan;
mod voters;

pub use args::PlanCommand;
pub use id::{Action, Basis, NoPlan, PlanId};
pub use plan::{Federation, Member, Plan, Shape, plan};
pub(crate) use voters::voters;
