//! timeball: the fleet program.
fn main() {}
