//! Which slices of a fine-tuning come when: those that show an organ and those that show none take turns, since
//! four slices in five of a scan do not show it and would be all that a batch sees.

use polycl_base::rng::{Purpose, rng};
use rand::seq::SliceRandom;

use crate::select::SliceId;

/// A slice that trains.
#[derive(Debug, Clone)]
pub struct Example {
    pub id: SliceId,
    /// Weight of the example; 1 in the mean over all examples.
    pub weight: f32,
    /// The organs that it shows, by their place among those segmented.
    pub shows: Vec<usize>,
    /// Its height in the range of each of them, for a network that is told.
    pub heights: Vec<f32>,
}

/// The scans of examples, in order.
pub fn scans(examples: &[Example]) -> Vec<usize> {
    let mut scans: Vec<usize> = examples.iter().map(|example| example.id.scan).collect();
    scans.dedup();
    scans
}

/// An example's place in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Number of the example, through all groups.
    pub example: usize,
    /// Number of times that it has come in this round before, so that it is augmented anew.
    pub again: usize,
}

/// The order of a round: as many turns as there are examples in all groups. `foreground` is the part of the turns,
/// evenly spread, that show an organ, each organ in turn; 0 takes examples as they come. Every kind is gone through in
/// random order, again where it has run out, and groups that have it take turns. Examples are numbered through all groups.
pub fn round(groups: &[&[Example]], foreground: f64, seed: u64, round: usize) -> Vec<Turn> {
    let total = groups.iter().map(|group| group.len()).sum();
    let mut table = Table::new(groups, foreground, seed, round as u64);
    let mut seen = vec![0; total];
    let turn = |at: usize| {
        let kind = table.kind(at);
        let example = table.draw(kind);
        seen[example] += 1;
        Turn { example, again: seen[example] - 1 }
    };
    (0..total).map(turn).collect()
}

/// Examples by kind: those that show nothing, then those of each organ.
struct Table {
    kinds: Vec<Kind>,
    /// The kinds of organs that some example shows.
    organs: Vec<usize>,
    foreground: f64,
    /// Turns that had to show an organ.
    shown: usize,
}

/// A deck of each group that has such examples.
struct Kind {
    decks: Vec<Deck>,
    drawn: usize,
}

impl Table {
    fn new(groups: &[&[Example]], foreground: f64, seed: u64, round: u64) -> Self {
        let shows = groups.iter().flat_map(|group| group.iter()).flat_map(|example| &example.shows);
        let organs = shows.max().map_or(0, |last| last + 1);
        let of = |wanted: &dyn Fn(&Example) -> bool, kind: u64| {
            let (mut decks, mut first) = (Vec::new(), 0);
            for (number, group) in groups.iter().enumerate() {
                let all: Vec<usize> =
                    (0..group.len()).filter(|&at| wanted(&group[at])).map(|at| first + at).collect();
                first += group.len();
                if !all.is_empty() {
                    decks.push(Deck::new(all, seed, round, (number as u64) << 8 | kind));
                }
            }
            Kind { decks, drawn: 0 }
        };
        let kinds: Vec<Kind> = if foreground > 0.0 {
            let shown = (0..organs).zip(1..).map(|(organ, kind)| of(&|e| e.shows.contains(&organ), kind));
            std::iter::once(of(&|example| example.shows.is_empty(), 0)).chain(shown).collect()
        } else {
            vec![of(&|_| true, 0)]
        };
        let organs = (1..kinds.len()).filter(|&kind| !kinds[kind].decks.is_empty()).collect();
        Self { kinds, organs, foreground, shown: 0 }
    }

    /// The kind of the example at a turn.
    fn kind(&mut self, at: usize) -> usize {
        // The turns in which the part that is wanted grows by one.
        let wanted = |turns: usize| (turns as f64 * self.foreground).floor() as usize;
        let must = self.kinds[0].decks.is_empty() || wanted(at + 1) > wanted(at);
        if self.organs.is_empty() || !must {
            return 0;
        }
        self.shown += 1;
        self.organs[(self.shown - 1) % self.organs.len()]
    }

    fn draw(&mut self, kind: usize) -> usize {
        let Kind { decks, drawn } = &mut self.kinds[kind];
        *drawn += 1;
        let group = (*drawn - 1) % decks.len();
        decks[group].draw()
    }
}

/// The examples of one kind, shuffled, and shuffled again when all have come.
struct Deck {
    all: Vec<usize>,
    left: Vec<usize>,
    seed: u64,
    round: u64,
    kind: u64,
    times: u64,
}

impl Deck {
    fn new(all: Vec<usize>, seed: u64, round: u64, kind: u64) -> Self {
        Self { all, left: Vec::new(), seed, round, kind, times: 0 }
    }

    fn draw(&mut self) -> usize {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            let at = [self.round, self.kind << 32 | self.times];
            self.left.shuffle(&mut rng(self.seed, Purpose::Shuffle, at));
            self.left.reverse();
            self.times += 1;
        }
        self.left.pop().expect("a kind that is drawn from has examples")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Examples that show these organs.
    fn examples(shows: &[&[usize]]) -> Vec<Example> {
        let example = |(slice, shows): (usize, &&[usize])| Example {
            id: SliceId { scan: 0, slice },
            weight: 1.0,
            shows: shows.to_vec(),
            heights: Vec::new(),
        };
        shows.iter().enumerate().map(example).collect()
    }

    #[test]
    fn without_a_part_all_come_once() {
        let all = examples(&[&[], &[0], &[], &[0], &[]]);
        let mut order: Vec<usize> = round(&[&all], 0.0, 1, 0).iter().map(|turn| turn.example).collect();
        assert!(round(&[&all], 0.0, 1, 0).iter().all(|turn| turn.again == 0));
        assert_ne!(order, round(&[&all], 0.0, 1, 7).iter().map(|turn| turn.example).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn organs_take_turns_and_a_rare_one_comes_again() {
        let all = examples(&[&[0], &[0], &[0], &[1], &[], &[], &[], &[], &[], &[], &[], &[]]);
        let turns = round(&[&all], 0.5, 3, 2);
        assert_eq!(turns.len(), 12);
        let shown: Vec<&[usize]> = turns.iter().map(|turn| &*all[turn.example].shows).collect();
        for two in shown.chunks(2) {
            assert!(two[0].is_empty() && !two[1].is_empty(), "{shown:?}");
        }
        let rare: Vec<usize> = turns.iter().filter(|turn| turn.example == 3).map(|turn| turn.again).collect();
        assert_eq!(rare, [0, 1, 2], "half of six");
    }

    #[test]
    fn one_kind_alone_is_all_there_is() {
        for shows in [&[][..], &[0]] {
            let all = examples(&[shows; 4]);
            let mut order: Vec<usize> = round(&[&all], 0.5, 3, 2).iter().map(|turn| turn.example).collect();
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn groups_take_turns_at_what_they_have() {
        let (few, many) = (examples(&[&[0], &[]]), examples(&[&[0], &[0], &[1], &[], &[], &[]]));
        let turns = round(&[&few, &many], 0.5, 3, 2);
        let order: Vec<usize> = turns.iter().map(|turn| turn.example).collect();
        assert_eq!((order.len(), order[0], order[1]), (8, 1, 0));
        assert!(order[2] >= 5 && order[4] == 1 && order[6] >= 5, "empty ones of either group: {order:?}");
        assert_eq!([order[3], order[7]], [4, 4], "only one group shows the second organ");
        assert!(order[5] == 2 || order[5] == 3, "{order:?}");
        // A group without empty slices does not make a batch show more.
        let full = examples(&[&[0]; 9].map(|shows: &[usize; 1]| &shows[..]));
        let shown = round(&[&few, &full], 0.5, 3, 2).iter().filter(|turn| turn.example != 1).count();
        assert_eq!(shown, 5, "half of eleven");
        assert_eq!(round(&[&many], 0.5, 3, 2), round(&[&many, &[]], 0.5, 3, 2));
    }

    proptest! {
        #[test]
        fn every_stretch_has_its_part(empty in 1_usize..40, full in 1_usize..40, part in 0.05_f64..0.95, seed: u64) {
            let mut shows: Vec<&[usize]> = vec![&[]; empty];
            shows.resize(empty + full, &[0]);
            let all = examples(&shows);
            let turns = round(&[&all], part, seed, 0);
            prop_assert_eq!(turns.len(), all.len());
            let mut count = 0;
            for (at, turn) in turns.iter().enumerate() {
                count += usize::from(turn.example >= empty);
                prop_assert_eq!(count, ((at + 1) as f64 * part).floor() as usize);
            }
            // No slice comes for the third time before all of its kind have come twice.
            for kind in [0..empty, empty..empty + full] {
                let times = |wanted: usize| turns.iter().filter(|turn| turn.example == wanted).count();
                let times: Vec<usize> = kind.map(times).collect();
                prop_assert!(times.iter().max().unwrap() - times.iter().min().unwrap() <= 1);
            }
        }
    }
}
