//! Whose turn it is to be set up or cleaned up: so many hosts at once over all, and no more than a share of them behind one
//! jump host, so that one which hangs does not hold everybody else up. First come, first served.

use crate::permits::{Keyed, Permit};

/// The part of all turns that the hosts behind one jump host may have at the same time.
const SHARE: usize = 4;

/// The turns of all machines. Cheap to clone.
#[derive(Clone)]
pub struct Turns {
    all: Keyed,
    behind: Keyed,
}

impl Turns {
    /// At most `at_once` hosts at the same time.
    pub fn new(at_once: usize) -> Self {
        Self {
            all: Keyed::new(at_once),
            behind: Keyed::new((at_once / SHARE).max(1)),
        }
    }

    /// A turn for a host behind this jump host, as long as what is returned is kept. The jump host's comes first: whoever
    /// waits for it takes nothing from the others.
    pub async fn take(&self, jump_host: Option<&str>) -> (Option<Permit>, Permit) {
        let behind = match jump_host {
            Some(jump_host) => Some(self.behind.take(jump_host).await),
            None => None,
        };
        (behind, self.all.take("").await)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_jump_host_that_hangs_holds_no_more_than_its_share() {
        let turns = Turns::new(8);
        let held = [turns.take(Some("a")).await, turns.take(Some("a")).await];
        let mut third = Box::pin(turns.take(Some("a")));
        assert!(third.as_mut().now_or_never().is_none(), "two of eight");
        let mut others = Vec::new();
        for _ in 0..2 {
            others.push(turns.take(Some("b")).now_or_never().unwrap());
            others.push(turns.take(None).now_or_never().unwrap());
        }
        others.push(turns.take(None).now_or_never().unwrap());
        others.push(turns.take(None).now_or_never().unwrap());
        let mut ninth = Box::pin(turns.take(None));
        assert!(ninth.as_mut().now_or_never().is_none(), "eight of eight");
        others.pop();
        let ninth = ninth.now_or_never().unwrap();
        drop((held, ninth));
        third.now_or_never().unwrap();
    }

    #[tokio::test]
    async fn first_come_first_served() {
        let turns = Turns::new(1);
        let held = turns.take(None).await;
        let (mut first, mut second) = (Box::pin(turns.take(None)), Box::pin(turns.take(None)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(held);
        assert!(second.as_mut().now_or_never().is_none());
        let turn = first.now_or_never().unwrap();
        drop(turn);
        assert!(second.now_or_never().is_some());
    }
}
