//! Field managers of server-side apply. They are the names that k0smotron has always used, so that taking over an existing
//! installation leaves no field with two owners.

/// Bootstrap Secrets.
pub const BOOTSTRAP: &str = "k0s-bootstrap";
/// Machines, infrastructure machines, K0sControllerConfigs and everything else a control plane makes.
pub const K0SMOTRON: &str = "k0smotron";
/// Labels and annotations of infrastructure machines and K0sControllerConfigs that are kept like those of the machine template; a
/// manager of its own, so that removing a label from the template removes it there too (contract C16).
pub const K0SMOTRON_METADATA: &str = "k0smotron-metadata";
/// The condition OwnerRemediated of Machines, which whoever asks for a replacement writes too.
pub const K0SMOTRON_REMEDIATION: &str = "k0smotron-remediation";
/// Secrets for provision Jobs (applied with force).
pub const OPERATOR: &str = "k0smotron-operator";
