mod ordeal;
mod planning;
mod properties;

use super::*;

/// A list of steps by name; a name that ends in `!` has no undo.
fn shape(names: &[&'static str]) -> Shape {
    let steps = names.iter().map(|name| StepShape { name: name.trim_end_matches('!'), has_undo: !name.ends_with('!') });
    Shape { name: "test", version: 1, undo_tries_max: 3, steps: steps.collect() }
}

fn entry(step: &str, event: Event) -> Entry {
    Entry { at_ms: 7, step: step.to_owned(), event }
}
