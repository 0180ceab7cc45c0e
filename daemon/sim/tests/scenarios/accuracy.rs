//! The families of `bench/accuracy` keep to their thresholds.

use sim::families::FAMILIES;
use sim::thresholds::thresholds;

/// As many as the thresholds were measured with.
const SEEDS: u64 = 20;

#[test]
fn no_family_is_worse_than_its_thresholds() {
    let limits = thresholds();
    let complaints: Vec<String> = FAMILIES
        .iter()
        .flat_map(|family| limits[family.name].complaints(family.name, &family.score(SEEDS)))
        .collect();
    assert!(
        complaints.is_empty(),
        "bench/accuracy/run prints the table:\n{}",
        complaints.join("\n")
    );
}
