//! fed-node with planted bugs, for the exam of the fault tests; a program of another name, so that nobody takes it for fed-node. The
//! variable `FED_PLANTED_BUG` chooses the bug.

#[path = "../main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
