//! What becomes of the steps of a round, in the models of sizes and of classes.

use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
pub enum Fate {
    All,
    /// This one is refused by the API server, and those behind it are not taken.
    Refused(usize),
    /// The process dies before this one.
    Dies(usize),
}

impl Fate {
    /// Whether the API server refuses the step of this place; a call it cannot refuse.
    pub fn refuses(self, place: usize, is_call: bool) -> bool {
        matches!(self, Self::Refused(refused) if refused == place && !is_call)
    }

    /// Whether the process dies before the step of this place, or, where there is none, after the last one.
    pub fn dies_before(self, place: usize) -> bool {
        matches!(self, Self::Dies(dies) if dies == place)
    }
}

pub fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::All),
        1 => (0..3_usize).prop_map(Fate::Refused),
        1 => (0..4_usize).prop_map(Fate::Dies),
    ]
}
