//! How any controller of this suite runs. Nothing in here knows what k0s is.
//!
//! | module | what it is for |
//! |---|---|
//! | [`context`] | what every controller is given: client, scope, events, metrics, workload clusters |
//! | [`controller`] | watches, bounded concurrency, deadline, per-object backoff, panic containment |
//! | [`shared`] | one watch of a kind for the whole process, read and followed by several controllers |
//! | [`tasks`] | work that outlasts a reconcile, bounded, reporting back by an event |
//! | [`apply`] | server-side apply that sends nothing when nothing would change |
//! | [`metadata`] | finalizers and annotations, written against the version that was read |
//! | [`status`], [`conditions`] | what a controller says of an object, written only when it changed |
//! | [`events`] | Kubernetes events, aggregated |
//! | [`gates`] | what is switched on beyond the defaults |
//! | [`secrets`] | contract Secrets |
//! | [`workload`] | the one way to talk to workload clusters |
//! | [`dial`] | the one way to what runs in the pods of a hosted control plane: its API and its etcd |
//! | [`kinds`] | which API serves a kind of another provider |
//! | [`absence`] | what an answer says that is not there: the object, or its kind |
//! | [`leadership`], [`metrics`], [`server`] | leases, metrics, and the HTTP endpoints of the process |
//! | [`webhook`], [`tls`] | the webhook server, its certificates, and who is told to trust them |
//! | [`definitions`], [`migration`] | which CustomResourceDefinitions change, and what older versions have stored |

pub mod absence;
pub mod answers;
pub mod apply;
pub mod conditions;
pub mod context;
pub mod controller;
pub mod definitions;
pub mod dial;
pub mod events;
pub mod gates;
pub mod kinds;
pub mod leadership;
pub mod metadata;
pub mod metrics;
pub mod migration;
pub mod secrets;
pub mod server;
pub mod shared;
pub mod status;
pub mod tasks;
pub mod tls;
pub mod webhook;
pub mod workload;

pub use context::{Context, Scope};
pub use controller::{Controller, Outcome, ReconcileError};
