//! What is to be done about a request. Pure and total.

use std::time::Duration;

use jiff::Timestamp;
use k0smotron_api::names::conditions::reasons;
use k0smotron_k0s::token::Role;

use super::{report::Verdict, tokens::Token};

/// What is known about a request.
#[derive(Clone, Debug)]
pub struct Observed {
    pub deleted: bool,
    pub paused: bool,
    /// It has our finalizer.
    pub held: bool,
    /// It says whose it is.
    pub belongs: bool,
    /// Its Cluster is of another namespace.
    pub legacy: bool,
    pub unsupported: Option<String>,
    pub bad_expiry: Option<String>,
    /// Namespace and name of the Cluster.
    pub cluster: String,
    pub plane: Plane,
    /// Tokens that the Cluster has for the request; empty unless it answers.
    pub tokens: Vec<Token>,
    pub published: Published,
    /// How long a token may be used; `None` for ever.
    pub life: Option<Duration>,
    pub now: Timestamp,
}

/// The Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plane {
    Missing,
    /// It is being deleted.
    Going,
    /// It is of another namespace and does not let this one have tokens.
    Forbids,
    /// It says why.
    NotAvailable(String),
    Answers,
}

/// The Secret of the request's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    Nothing,
    /// It is somebody else's.
    Foreign,
    /// Which cluster's, and the token's id if it can be read.
    Token {
        cluster: Option<String>,
        id: Option<String>,
    },
}

/// The one thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, and nothing is said.
    Rest,
    /// The request is to be held, and to say whose it is.
    Prepare,
    /// A token is to be published: this one, or a new one. Those that must not be used any more are revoked after that.
    Provide {
        token: Option<Token>,
        /// When that is to be thought over.
        renewal: Option<Timestamp>,
        revoke: Vec<String>,
    },
    /// The request goes: these are revoked, and it is let go.
    Revoke(Vec<String>),
    /// The request goes, and nothing is left of it.
    Release,
    /// The request goes with its Cluster.
    Remove,
    Say(Verdict),
}

/// The step to take.
pub fn decide(observed: &Observed) -> Step {
    if observed.deleted {
        return end(observed);
    }
    // Even when it is paused, as what has an owner goes with that.
    if observed.legacy && observed.plane == Plane::Going {
        return Step::Remove;
    }
    if observed.paused {
        return Step::Rest;
    }
    let stalled = |reason, message: String| Step::Say(Verdict::Stalled { reason, message });
    if let Some(message) = &observed.unsupported {
        return stalled(reasons::UNSUPPORTED, message.clone());
    }
    if let Some(message) = &observed.bad_expiry {
        return stalled(reasons::INVALID_EXPIRY, message.clone());
    }
    let cluster = &observed.cluster;
    let waiting = |reason, message: String| Step::Say(Verdict::Waiting { reason, message });
    match &observed.plane {
        Plane::Missing => {
            return waiting(
                reasons::CLUSTER_NOT_FOUND,
                format!("Cluster {cluster} does not exist"),
            );
        }
        Plane::Going => {
            return waiting(reasons::DELETING, format!("Cluster {cluster} is being deleted"));
        }
        Plane::Forbids => {
            return stalled(
                reasons::NAMESPACE_NOT_ALLOWED,
                format!(
                    "Cluster {cluster} is in another namespace, which it has to allow: list this namespace in its annotation {}, \
                     or make the request in the Cluster's namespace",
                    k0smotron_api::names::annotations::JOIN_TOKEN_NAMESPACES
                ),
            );
        }
        Plane::NotAvailable(_) if matches!(&observed.published, Published::Token { .. }) => {
            // The token is good once the Cluster answers again.
            return Step::Rest;
        }
        Plane::NotAvailable(message) if message.is_empty() => {
            return waiting(
                reasons::WAITING_FOR_CLUSTER,
                format!("Cluster {cluster} is not available yet"),
            );
        }
        Plane::NotAvailable(message) => {
            return waiting(
                reasons::WAITING_FOR_CLUSTER,
                format!("Cluster {cluster} is not available: {message}"),
            );
        }
        Plane::Answers => {}
    }
    match &observed.published {
        Published::Foreign => {
            return stalled(
                reasons::SECRET_EXISTS,
                "a Secret of this name exists and is not the request's; delete it, or make a request of another name"
                    .to_owned(),
            );
        }
        Published::Token {
            cluster: Some(before),
            ..
        } if !cluster.ends_with(&format!("/{before}")) => {
            return stalled(
                reasons::SECRET_EXISTS,
                format!("the token of Cluster {before} was made already; make another request for {cluster}"),
            );
        }
        Published::Nothing | Published::Token { .. } => {}
    }
    if !observed.held || !observed.belongs {
        return Step::Prepare;
    }
    provide(observed)
}

fn provide(observed: &Observed) -> Step {
    let Observed {
        tokens, life, now, ..
    } = observed;
    let fits = |token: &&Token| token.fits(Role::Worker, *life, *now);
    let is_published = |token: &Token| match &observed.published {
        Published::Token { id: Some(id), .. } => id == token.id(),
        _ => false,
    };
    let is_fresh = |token: &&Token| token.renewal(*life).is_none_or(|renewal| renewal > *now);
    // Of two that were made because a crash hid the first one, the one that somebody may have taken already.
    let chosen = tokens
        .iter()
        .filter(fits)
        .filter(is_fresh)
        .max_by_key(|token| (token.expires, is_published(token)));
    let revoke = tokens
        .iter()
        .filter(|token| token.is_expired(*now) || !fits(token))
        .map(|token| token.id().to_owned());
    Step::Provide {
        token: chosen.cloned(),
        renewal: chosen.and_then(|token| token.renewal(*life)),
        revoke: revoke.collect(),
    }
}

/// What is left to do for a request that goes.
fn end(observed: &Observed) -> Step {
    if !observed.held {
        return Step::Rest;
    }
    match &observed.plane {
        // The tokens have gone with it, or go.
        Plane::Missing | Plane::Going => Step::Release,
        Plane::Answers => Step::Revoke(
            observed
                .tokens
                .iter()
                .map(|token| token.id().to_owned())
                .collect(),
        ),
        Plane::Forbids | Plane::NotAvailable(_) => Step::Say(Verdict::Deleting {
            message: format!(
                "its tokens are still to be revoked, for which Cluster {} has to be available",
                observed.cluster
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k0smotron_k0s::token::BootstrapToken;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    /// A token that expires so many minutes from now.
    fn token(id: &str, minutes: impl Into<Option<i64>>) -> Token {
        Token {
            token: BootstrapToken::parse(&format!("{id}.0123456789abcdef")).unwrap(),
            role: Role::Worker,
            expires: minutes
                .into()
                .map(|minutes| now() + SignedDuration::from_mins(minutes)),
        }
    }

    fn published(id: &str) -> Published {
        Published::Token {
            cluster: Some("c".to_owned()),
            id: Some(id.to_owned()),
        }
    }

    /// A request that wants a token for an hour and has none, and whose Cluster answers.
    fn observed() -> Observed {
        Observed {
            deleted: false,
            paused: false,
            held: true,
            belongs: true,
            legacy: false,
            unsupported: None,
            bad_expiry: None,
            cluster: "ns/c".to_owned(),
            plane: Plane::Answers,
            tokens: Vec::new(),
            published: Published::Nothing,
            life: Some(HOUR),
            now: now(),
        }
    }

    /// Id of the token to publish, if it is not a new one, and those to revoke.
    fn provided(observed: &Observed) -> (Option<String>, Vec<String>) {
        match decide(observed) {
            Step::Provide { token, revoke, .. } => (token.map(|token| token.id().to_owned()), revoke),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_is_made_and_found_again() {
        let mut observed = observed();
        assert_eq!(provided(&observed), (None, Vec::new()));
        observed.tokens = vec![token("aaaaaa", 60)];
        assert_eq!(provided(&observed), (Some("aaaaaa".to_owned()), Vec::new()));
        observed.published = published("aaaaaa");
        assert_eq!(provided(&observed), (Some("aaaaaa".to_owned()), Vec::new()));
        // Two, because a crash hid the first one: whoever has taken it can still use it.
        observed.tokens = vec![token("bbbbbb", 60), token("aaaaaa", 60)];
        assert_eq!(provided(&observed), (Some("aaaaaa".to_owned()), Vec::new()));
    }

    #[test]
    fn a_token_is_replaced_when_two_thirds_of_its_life_are_over() {
        let mut observed = observed();
        observed.tokens = vec![token("aaaaaa", 21)];
        let Step::Provide {
            token: kept, renewal, ..
        } = decide(&observed)
        else {
            panic!("{observed:?}")
        };
        assert_eq!(kept, Some(token("aaaaaa", 21)));
        assert_eq!(renewal, Some(now() + SignedDuration::from_mins(1)));
        observed.tokens = vec![token("aaaaaa", 20)];
        assert_eq!(
            provided(&observed),
            (None, Vec::new()),
            "the old one stays until it expires"
        );
        observed.tokens = vec![token("aaaaaa", -1), token("bbbbbb", 60)];
        let expected = (Some("bbbbbb".to_owned()), vec!["aaaaaa".to_owned()]);
        assert_eq!(provided(&observed), expected);
    }

    #[test]
    fn a_token_that_lets_in_for_longer_than_asked_is_revoked() {
        let mut observed = observed();
        for longer in [token("aaaaaa", None), token("aaaaaa", 24 * 60)] {
            observed.tokens = vec![longer];
            assert_eq!(provided(&observed), (None, vec!["aaaaaa".to_owned()]));
        }
        observed.life = None;
        observed.tokens = vec![token("aaaaaa", None)];
        assert_eq!(provided(&observed), (Some("aaaaaa".to_owned()), Vec::new()));
        let mut controller = token("bbbbbb", None);
        controller.role = Role::Controller;
        observed.tokens = vec![controller];
        assert_eq!(provided(&observed), (None, vec!["bbbbbb".to_owned()]));
    }

    #[test]
    fn nothing_is_made_before_the_request_is_held() {
        for (held, belongs) in [(false, false), (true, false), (false, true)] {
            let observed = Observed {
                held,
                belongs,
                ..observed()
            };
            assert_eq!(decide(&observed), Step::Prepare);
        }
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let reason = |observed: Observed| match decide(&observed) {
            Step::Say(Verdict::Stalled { reason, .. } | Verdict::Waiting { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let plane = |plane| Observed { plane, ..observed() };
        assert_eq!(reason(plane(Plane::Missing)), "ClusterNotFound");
        assert_eq!(reason(plane(Plane::Forbids)), "NamespaceNotAllowed");
        assert_eq!(
            reason(plane(Plane::NotAvailable("why".to_owned()))),
            "WaitingForCluster"
        );
        let there = |published| Observed {
            published,
            ..observed()
        };
        assert_eq!(reason(there(Published::Foreign)), "SecretExists");
        let of_other = Published::Token {
            cluster: Some("other".to_owned()),
            id: None,
        };
        assert_eq!(reason(there(of_other)), "SecretExists");
        let bad = Some("spec.expiry is not a duration".to_owned());
        assert_eq!(
            reason(Observed {
                bad_expiry: bad,
                ..observed()
            }),
            "InvalidExpiry"
        );
        // What was published is good once the Cluster answers again.
        let away = Plane::NotAvailable(String::new());
        assert_eq!(
            decide(&Observed {
                plane: away,
                ..there(published("aaaaaa"))
            }),
            Step::Rest
        );
    }

    #[test]
    fn a_request_goes_after_its_tokens() {
        let going = |plane| Observed {
            deleted: true,
            tokens: vec![token("aaaaaa", 60), token("bbbbbb", -1)],
            plane,
            ..observed()
        };
        let both = vec!["aaaaaa".to_owned(), "bbbbbb".to_owned()];
        assert_eq!(decide(&going(Plane::Answers)), Step::Revoke(both));
        assert_eq!(decide(&going(Plane::Missing)), Step::Release);
        assert_eq!(decide(&going(Plane::Going)), Step::Release);
        for away in [Plane::NotAvailable(String::new()), Plane::Forbids] {
            assert!(matches!(
                decide(&going(away)),
                Step::Say(Verdict::Deleting { .. })
            ));
        }
        let free = Observed {
            held: false,
            ..going(Plane::Answers)
        };
        assert_eq!(decide(&free), Step::Rest);
    }

    #[test]
    fn a_request_of_another_namespace_goes_with_its_cluster() {
        let observed = |legacy| Observed {
            legacy,
            plane: Plane::Going,
            ..observed()
        };
        assert_eq!(decide(&observed(true)), Step::Remove);
        assert!(
            matches!(decide(&observed(false)), Step::Say(Verdict::Waiting { .. })),
            "it has an owner"
        );
    }
}
