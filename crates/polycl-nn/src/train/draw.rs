//! Which slices of a fine-tuning come when: those that show an organ and those that show none take turns, since
//! four slices in five of a scan do not show it and would be all that a batch sees.

use polycl_volume::rng::{Purpose, rng};
use rand::seq::SliceRandom;

use crate::select::SliceId;

/// A slice that trains.
#[derive(Debug, Clone)]
pub struct Example {
    pub id: SliceId,
    /// How much it counts; 1 in the mean over all examples.
    pub weight: f32,
    /// The organs that it shows, by their place among those segmented.
    pub shows: Vec<usize>,
}

/// An example's place in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Number of the example, through all groups.
    pub example: usize,
    /// How often it has come in this round before, so that it is augmented anew.
    pub again: usize,
}

/// The order of a round: as many turns as there are examples in all groups, which take turns. `foreground` is the part
/// of a group's turns, evenly spread, that show an organ, each organ in turn; 0 takes its examples as they come. Every
/// kind is gone through in random order, again where it has run out. Examples are numbered through all groups.
pub fn round(groups: &[&[Example]], foreground: f64, seed: u64, round: usize) -> Vec<Turn> {
    let total = groups.iter().map(|group| group.len()).sum();
    let (mut seen, mut first) = (vec![0; total], 0);
    let mut tables = Vec::new();
    for (number, group) in groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
        tables.push(Table::new(group, (first, number as u64), foreground, seed, round as u64));
        first += group.len();
    }
    let turn = |at: usize| {
        let count = tables.len();
        let example = tables[at % count].draw();
        seen[example] += 1;
        Turn { example, again: seen[example] - 1 }
    };
    (0..total).map(turn).collect()
}

/// The examples of a group, by kind: those that show nothing, then those of each organ.
struct Table {
    decks: Vec<Deck>,
    foreground: f64,
    /// Number of the group's first example.
    first: usize,
    /// Examples drawn, and those of them that had to show an organ.
    drawn: usize,
    shown: usize,
}

impl Table {
    fn new(
        examples: &[Example],
        (first, group): (usize, u64),
        foreground: f64,
        seed: u64,
        round: u64,
    ) -> Self {
        let organs = examples.iter().flat_map(|example| &example.shows).max().map_or(0, |last| last + 1);
        let of = |wanted: &dyn Fn(&Example) -> bool| -> Vec<usize> {
            (0..examples.len()).filter(|&number| wanted(&examples[number])).collect()
        };
        let kinds = if foreground > 0.0 {
            let shown = (0..organs).map(|organ| of(&|example| example.shows.contains(&organ)));
            std::iter::once(of(&|example| example.shows.is_empty())).chain(shown).collect()
        } else {
            vec![of(&|_| true)]
        };
        let deck = |(all, kind): (Vec<usize>, u64)| Deck::new(all, seed, round, group << 8 | kind);
        let decks = kinds.into_iter().zip(0..).map(deck).collect();
        Self { decks, foreground, first, drawn: 0, shown: 0 }
    }

    /// Number of the next example.
    fn draw(&mut self) -> usize {
        // The turns in which the part that is wanted grows by one.
        let wanted = |turns: usize| (turns as f64 * self.foreground).floor() as usize;
        let any = self.decks.iter().skip(1).any(|deck| !deck.all.is_empty());
        let shows = any && (self.decks[0].all.is_empty() || wanted(self.drawn + 1) > wanted(self.drawn));
        self.drawn += 1;
        let kind = if shows { self.next_organ() } else { 0 };
        self.first + self.decks[kind].draw()
    }

    /// The kind of the next organ that some example shows.
    fn next_organ(&mut self) -> usize {
        let kinds: Vec<usize> =
            (1..self.decks.len()).filter(|&kind| !self.decks[kind].all.is_empty()).collect();
        self.shown += 1;
        kinds[(self.shown - 1) % kinds.len()]
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
    fn groups_take_turns_and_a_small_one_comes_again() {
        let (few, many) = (examples(&[&[0], &[]]), examples(&[&[0], &[], &[1], &[], &[], &[]]));
        let turns = round(&[&few, &many], 0.5, 3, 2);
        assert_eq!(turns.len(), 8);
        let few: Vec<usize> = turns.iter().step_by(2).map(|turn| turn.example).collect();
        assert_eq!(few, [1, 0, 1, 0]);
        assert!(turns.iter().skip(1).step_by(2).all(|turn| turn.example >= 2));
        let alone = round(&[&many], 0.5, 3, 2);
        assert_eq!(alone, round(&[&many, &[]], 0.5, 3, 2));
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
