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

/// The metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciles: Family<Pass, Counter>,
    durations: Family<Of, Histogram>,
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
        Self(Arc::new(Inner {
            registry,
            reconciles,
            durations,
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
