//! Values that are written as text, and what they have to look like. Every check takes any text and says what to write instead.

pub mod addresses;
pub mod cron;
pub mod duration;
pub mod names;
pub mod quantity;
pub mod yaml;

pub use addresses::{host, network};
pub(super) use names::{labels, metadata, selector};

use super::{field::Field, report::Report};

/// The field, when set, is a host.
pub(super) fn address(field: &Field<'_>, report: &mut Report) {
    if let Some(text) = field.text() {
        report.check(field, host(text));
    }
}

/// The field, when set, names an object.
pub(super) fn reference(field: &Field<'_>, report: &mut Report) {
    if let Some(text) = field.text() {
        report.check(field, names::object(text));
    }
}

/// The field, when set, names a namespace.
pub(super) fn namespace(field: &Field<'_>, report: &mut Report) {
    if let Some(text) = field.text() {
        report.check(field, names::label(text));
    }
}

/// The field, when set, is a key of a Secret's or ConfigMap's data.
pub(super) fn data_key(field: &Field<'_>, report: &mut Report) {
    if let Some(text) = field.text() {
        report.check(field, names::data_key(text));
    }
}

/// The field, when set to anything but 0, is a port.
pub(super) fn port(field: &Field<'_>, report: &mut Report) {
    if field.integer().is_some_and(|port| !(0..=65535).contains(&port)) {
        report.error(field, "is not a port; use one from 1 to 65535");
    }
}
