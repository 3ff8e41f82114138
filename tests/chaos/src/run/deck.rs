//! A shuffled deck: each card comes equally often, in an order by seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

/// How much longer a track goes on for the cards that had no effect yet.
const LONGER: Duration = Duration::from_secs(45);

pub(super) struct Deck<T> {
    cards: Vec<T>,
    left: Vec<usize>,
    /// Cards that had no effect yet.
    missing: Vec<usize>,
    end: Instant,
    pub(super) dice: Rng,
}

impl<T: Copy> Deck<T> {
    pub(super) fn new(cards: &[T], seed: u64, end: Instant) -> Self {
        let missing = (0..cards.len()).collect();
        Self { cards: cards.to_vec(), left: Vec::new(), missing, end, dice: Rng::with_seed(seed) }
    }

    /// The next card with its number, until the time is over and each has had an effect.
    pub(super) fn draw(&mut self) -> Option<(usize, T)> {
        let now = Instant::now();
        if now >= self.end && (self.missing.is_empty() || now >= self.end + LONGER) {
            return None;
        }
        if self.left.is_empty() || now >= self.end {
            self.left = if now >= self.end { self.missing.clone() } else { (0..self.cards.len()).collect() };
            self.dice.shuffle(&mut self.left);
        }
        let number = self.left.pop()?;
        Some((number, *self.cards.get(number)?))
    }

    /// A card had an effect.
    pub(super) fn played(&mut self, number: usize) {
        self.missing.retain(|missing| *missing != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_card_comes_and_what_had_no_effect_comes_again() {
        let end = Instant::now() + Duration::from_secs(10);
        let mut deck = Deck::new(&['a', 'b', 'c'], 5, end);
        let mut drawn = Vec::new();
        while let Some((number, card)) = deck.draw() {
            if card != 'b' || drawn.len() > 12 {
                deck.played(number);
            }
            drawn.push(card);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for card in ['a', 'b', 'c'] {
            assert!(drawn[..9].iter().filter(|drawn| **drawn == card).count() == 3, "{drawn:?}");
        }
        assert!(drawn.len() == 14 && drawn.ends_with(&['b'; 3]), "beyond the end, until it had an effect: {drawn:?}");
    }
}
