//! What the process counts. Labels come from enums and constants only, so that their number stays bounded.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pass {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    webhook: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    webhook: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Injected {
    kind: &'static str,
}

/// The metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciles: Family<Pass, Counter>,
    durations: Family<Of, Histogram>,
    answers: Family<Answer, Counter>,
    latencies: Family<Asked, Histogram>,
    injections: Family<Injected, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let reconciles = Family::<Pass, Counter>::default();
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by controller and result. A result other than Done and Waiting that keeps growing for one \
             controller names what fails",
            reconciles.clone(),
        );
        let durations = Family::<Of, Histogram>::new_with_constructor(|| {
            Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0])
        });
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Duration of reconciles. The upper buckets should be empty: slow work runs as tasks",
            durations.clone(),
        );
        let answers = Family::<Answer, Counter>::default();
        registry.register(
            "controller_runtime_webhook_requests",
            "Requests of API servers by webhook and HTTP code. A refused object is an answer with code 200; others are \
             requests that were not understood, too large or too slow",
            answers.clone(),
        );
        let latencies = Family::<Asked, Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0])
        });
        registry.register(
            "controller_runtime_webhook_latency_seconds",
            "Time to answer a request of an API server, which every write of such an object waits for",
            latencies.clone(),
        );
        let injections = Family::<Injected, Counter>::default();
        registry.register(
            "k0smotron_webhook_ca_injections",
            "Times caBundle was set, by kind of object. One that keeps growing means that somebody else writes it too",
            injections.clone(),
        );
        Self(Arc::new(Inner {
            registry,
            reconciles,
            durations,
            answers,
            latencies,
            injections,
        }))
    }
}

impl Metrics {
    pub(crate) fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.0
            .reconciles
            .get_or_create(&Pass { controller, result })
            .inc();
        self.0
            .durations
            .get_or_create(&Of { controller })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn answered(&self, webhook: &'static str, code: u16, took: Duration) {
        self.0.answers.get_or_create(&Answer { webhook, code }).inc();
        self.0
            .latencies
            .get_or_create(&Asked { webhook })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn injected(&self, kind: &'static str) {
        self.0.injections.get_or_create(&Injected { kind }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When formatting fails, which it does not for strings.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}
