//! So many at once of each of several things, such as the jump hosts there are; and of these, so many logins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use k0smotron_ssh::{Connected, Error, Target, Transport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Logins at the same time through one jump host. From ten that have not logged in yet, OpenSSH turns further ones away at
/// random (`MaxStartups`), and we are not the only ones.
const LOGINS: usize = 8;

/// Semaphores by key, which are forgotten when nobody holds or awaits a permit.
#[derive(Clone)]
pub struct Keyed {
    permits: usize,
    by_key: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// A permit, and the semaphore that it keeps alive.
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
    _of: Arc<Semaphore>,
}

impl Keyed {
    /// So many permits for each key.
    pub fn new(permits: usize) -> Self {
        Self {
            permits,
            by_key: Arc::default(),
        }
    }

    /// A permit for `key`, once it is free.
    pub async fn take(&self, key: &str) -> Permit {
        let semaphore = self.of(key);
        Permit {
            // A semaphore is never closed here; one that were would bound nothing.
            _held: semaphore.clone().acquire_owned().await.ok(),
            _of: semaphore,
        }
    }

    fn of(&self, key: &str) -> Arc<Semaphore> {
        // Only inserts and removals happen under the lock.
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = by_key.get(key).and_then(Weak::upgrade) {
            return semaphore;
        }
        by_key.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.permits));
        by_key.insert(key.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

/// A transport that goes easy on jump hosts.
pub struct FewLogins {
    transport: Arc<dyn Transport>,
    logins: Keyed,
}

impl FewLogins {
    /// Connects with `transport`, through each jump host few at a time.
    pub fn over(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            logins: Keyed::new(LOGINS),
        }
    }
}

impl Transport for FewLogins {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Connected, Error>> {
        async move {
            let _permit = match target.hops().as_slice() {
                [first, _, ..] => Some(self.logins.take(&first.endpoint()).await),
                _ => None,
            };
            self.transport.connect(target, deadline).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k0smotron_ssh::{Elevation, HostKeyPolicy};
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn keys_that_nobody_uses_are_forgotten() {
        let keyed = Keyed::new(1);
        for key in ["a", "b", "c"] {
            drop(keyed.take(key).await);
        }
        let _held = keyed.take("d").await;
        assert_eq!(keyed.by_key.lock().unwrap().len(), 1);
    }

    /// Counts those who are about to log in, until they are told that they cannot.
    #[derive(Default)]
    struct Door {
        before_it: AtomicUsize,
        shut: Notify,
    }

    impl Transport for Door {
        fn connect<'a>(&'a self, target: &'a Target, _: Duration) -> BoxFuture<'a, Result<Connected, Error>> {
            async move {
                self.before_it.fetch_add(1, Ordering::Relaxed);
                self.shut.notified().await;
                Err(Error::Unreachable {
                    address: target.endpoint(),
                    cause: String::new(),
                })
            }
            .boxed()
        }
    }

    fn host(address: &str, via: Option<Target>) -> Target {
        Target {
            address: address.into(),
            port: 22,
            user: "root".into(),
            key: "".into(),
            passphrase: None,
            certificate: None,
            elevation: Elevation::None,
            host_keys: HostKeyPolicy::FirstUse,
            via: via.map(Box::new),
        }
    }

    #[tokio::test]
    async fn a_jump_host_gets_few_logins_at_a_time_and_others_do_not_wait_for_it() {
        let door = Arc::new(Door::default());
        let transport = FewLogins::over(door.clone());
        let before = |count| assert_eq!(door.before_it.load(Ordering::Relaxed), count);
        let behind: Vec<_> = (0..LOGINS + 3)
            .map(|n| host(&format!("h{n}"), Some(host("bastion", None))))
            .collect();
        let mut waiting: Vec<_> = behind
            .iter()
            .map(|target| transport.connect(target, Duration::from_secs(1)))
            .collect();
        for attempt in &mut waiting {
            assert!(attempt.now_or_never().is_none());
        }
        before(LOGINS);
        let (direct, other) = (host("direct", None), host("h", Some(host("other", None))));
        for target in [&direct, &other] {
            assert!(
                transport
                    .connect(target, Duration::from_secs(1))
                    .now_or_never()
                    .is_none()
            );
        }
        before(LOGINS + 2);
        door.shut.notify_waiters();
        for attempt in &mut waiting {
            attempt.now_or_never();
        }
        before(LOGINS + 2 + 3);
    }
}
