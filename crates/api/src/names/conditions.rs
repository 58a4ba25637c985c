//! Types and reasons of conditions.

/// Types of conditions.
pub mod types {
    /// Sums an object up; mirrored by Cluster API to the Machine or Cluster, and read by kstatus and GitOps tools.
    pub const READY: &str = "Ready";
    /// The control plane (or Machine) can be used.
    pub const AVAILABLE: &str = "Available";
    /// Nothing goes on until somebody changes something; kstatus reads it as failed.
    pub const STALLED: &str = "Stalled";
    /// The object is left alone because it or its Cluster is paused.
    pub const PAUSED: &str = "Paused";
    /// The object is being deleted.
    pub const DELETING: &str = "Deleting";
    /// The spec asks for what this version does not do yet; nothing is written until that changes.
    pub const UNSUPPORTED: &str = "Unsupported";
    /// The Secret with the bootstrap data exists.
    pub const DATA_SECRET_AVAILABLE: &str = "DataSecretAvailable";
    /// The join token was revoked, because the machine has joined.
    pub const JOIN_TOKEN_REVOKED: &str = "JoinTokenRevoked";
    /// The bootstrap data has been run on the host.
    pub const BOOTSTRAP_EXEC_SUCCEEDED: &str = "BootstrapExecSucceeded";
    /// The host answers over SSH with the key that is expected of it.
    pub const HOST_REACHABLE: &str = "HostReachable";
    /// The host has been cleaned up (while a machine is being deleted).
    pub const HOST_CLEAN: &str = "HostClean";
    /// The API server has answered for the first time.
    pub const INITIALIZED: &str = "Initialized";
    /// CAs and kubeconfig exist.
    pub const CERTIFICATES_AVAILABLE: &str = "CertificatesAvailable";
    /// The etcd cluster has its members.
    pub const ETCD_CLUSTER_HEALTHY: &str = "EtcdClusterHealthy";
    /// Sums up the condition Ready of the Machines.
    pub const MACHINES_READY: &str = "MachinesReady";
    /// Sums up the condition UpToDate of the Machines.
    pub const MACHINES_UP_TO_DATE: &str = "MachinesUpToDate";
    /// Machines are being replaced or changed.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// There are fewer machines than asked for.
    pub const SCALING_UP: &str = "ScalingUp";
    /// There are more machines than asked for.
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// An unhealthy machine is being replaced.
    pub const REMEDIATING: &str = "Remediating";
    /// On JoinTokenRequests: the Secret with the join token exists.
    pub const JOIN_TOKEN_SECRET_CREATED: &str = "JoinTokenSecretCreated";
    /// On Machines: the machine matches the spec of its control plane.
    pub const UP_TO_DATE: &str = "UpToDate";
    /// On Machines: an update in place is under way.
    pub const UPDATING: &str = "Updating";
    /// On Machines: what the MachineHealthCheck says.
    pub const HEALTH_CHECK_SUCCEEDED: &str = "HealthCheckSucceeded";
    /// On control-plane Machines: the member of etcd beside the controller votes, and the API server there gets answers from it.
    /// Unknown as long as the controller is no member, or the cluster does not answer for its members. Its name is that of Cluster
    /// API's own control plane provider, so that a MachineHealthCheck fits both.
    pub const ETCD_MEMBER_HEALTHY: &str = "EtcdMemberHealthy";
    /// On Machines: what the owner does about an unhealthy machine.
    pub const OWNER_REMEDIATED: &str = "OwnerRemediated";
    /// On Machines: the node is healthy.
    pub const NODE_HEALTHY: &str = "NodeHealthy";
    /// On Clusters: the API server has answered for the first time; never taken back.
    pub const CONTROL_PLANE_INITIALIZED: &str = "ControlPlaneInitialized";
    /// On Clusters and Machines: the infrastructure is there.
    pub const INFRASTRUCTURE_READY: &str = "InfrastructureReady";
}

/// Reasons of conditions.
pub mod reasons {
    /// Ready is true.
    pub const READY: &str = "Ready";
    /// Ready is false.
    pub const NOT_READY: &str = "NotReady";
    /// Ready is not known.
    pub const READY_UNKNOWN: &str = "ReadyUnknown";
    /// Available is true.
    pub const AVAILABLE: &str = "Available";
    /// Available is false.
    pub const NOT_AVAILABLE: &str = "NotAvailable";
    /// Available is not known.
    pub const AVAILABLE_UNKNOWN: &str = "AvailableUnknown";
    /// Stalled is false: work goes on, or there is none left.
    pub const PROGRESSING: &str = "Progressing";
    /// Stalled is true: a command, a value or a Secret has to be mended first.
    pub const STALLED: &str = "Stalled";
    /// Paused is true.
    pub const PAUSED: &str = "Paused";
    /// Paused is false.
    pub const NOT_PAUSED: &str = "NotPaused";
    /// Deleting is true.
    pub const DELETING: &str = "Deleting";
    /// Deleting is false.
    pub const NOT_DELETING: &str = "NotDeleting";
    /// Deletion has come to its end.
    pub const DELETION_COMPLETED: &str = "DeletionCompleted";
    /// Unsupported is true.
    pub const UNSUPPORTED: &str = "Unsupported";
    /// Unsupported is false.
    pub const SUPPORTED: &str = "Supported";
    /// Initialized is true.
    pub const INITIALIZED: &str = "Initialized";
    /// Initialized is false.
    pub const NOT_INITIALIZED: &str = "NotInitialized";
    /// UpToDate is true.
    pub const UP_TO_DATE: &str = "UpToDate";
    /// UpToDate is false.
    pub const NOT_UP_TO_DATE: &str = "NotUpToDate";
    /// RollingOut is true.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// RollingOut is false.
    pub const NOT_ROLLING_OUT: &str = "NotRollingOut";
    /// ScalingUp is true.
    pub const SCALING_UP: &str = "ScalingUp";
    /// ScalingUp is false.
    pub const NOT_SCALING_UP: &str = "NotScalingUp";
    /// ScalingDown is true.
    pub const SCALING_DOWN: &str = "ScalingDown";
    /// ScalingDown is false.
    pub const NOT_SCALING_DOWN: &str = "NotScalingDown";
    /// Remediating is true.
    pub const REMEDIATING: &str = "Remediating";
    /// Remediating is false.
    pub const NOT_REMEDIATING: &str = "NotRemediating";
    /// Machines are missing.
    pub const NO_REPLICAS: &str = "NoReplicas";
    /// Something went wrong inside; the message says what.
    pub const INTERNAL_ERROR: &str = "InternalError";
    /// The workload cluster does not answer.
    pub const CONNECTION_DOWN: &str = "ConnectionDown";
    /// Something could not be looked at.
    pub const INSPECTION_FAILED: &str = "InspectionFailed";
    /// An object that is referred to does not exist.
    pub const OBJECT_DOES_NOT_EXIST: &str = "ObjectDoesNotExist";

    /// No owner has been set yet by Cluster API.
    pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
    /// The Cluster does not exist.
    pub const CLUSTER_NOT_FOUND: &str = "ClusterNotFound";
    /// The Cluster has no endpoint yet.
    pub const WAITING_FOR_ENDPOINT: &str = "WaitingForControlPlaneEndpoint";
    /// The API server has not answered yet (the spelling of bootstrap configs).
    pub const WAITING_FOR_CONTROL_PLANE_INITIALIZATION: &str = "WaitingForControlPlaneInitialization";
    /// The API server has not answered yet (the spelling of Cluster API).
    pub const WAITING_FOR_CONTROL_PLANE_INITIALIZED: &str = "WaitingForControlPlaneInitialized";
    /// The infrastructure of the Cluster is not there yet.
    pub const WAITING_FOR_CLUSTER_INFRASTRUCTURE_READY: &str = "WaitingForClusterInfrastructureReady";
    /// The Machine has no bootstrap data yet.
    pub const WAITING_FOR_BOOTSTRAP_DATA: &str = "WaitingForBootstrapData";
    /// The Secrets of the cluster's CAs are not there yet.
    pub const WAITING_FOR_CERTIFICATES: &str = "WaitingForCertificates";
    /// The Machines have no replacement yet, or the control plane waits for one.
    pub const WAITING_FOR_REMEDIATION: &str = "WaitingForRemediation";
    /// OwnerRemediated is false: the machine is being deleted.
    pub const MACHINE_DELETING: &str = "MachineDeleting";
    /// OwnerRemediated is false: something else comes before the machine is replaced.
    pub const REMEDIATION_DEFERRED: &str = "RemediationDeferred";
    /// OwnerRemediated is false: the machine is not replaced before somebody changes something.
    pub const CANNOT_BE_REMEDIATED: &str = "CannotBeRemediated";
    /// HealthCheckSucceeded is false: the machine has had no node for too long.
    pub const NODE_STARTUP_TIMEOUT: &str = "NodeStartupTimeout";
    /// Workers are to be deleted before the control plane.
    pub const WAITING_FOR_WORKERS_DELETION: &str = "WaitingForWorkersDeletion";
    /// Machines are to be gone before the control plane.
    pub const WAITING_FOR_MACHINES_DELETION: &str = "WaitingForMachinesDeletion";

    /// On JoinTokenRequests: the Secret with the join token exists.
    pub const CREATED: &str = "Created";
    /// On JoinTokenRequests: the Cluster does not answer yet.
    pub const WAITING_FOR_CLUSTER: &str = "WaitingForCluster";
    /// On JoinTokenRequests: the Cluster is of another namespace and does not let this one have tokens.
    pub const NAMESPACE_NOT_ALLOWED: &str = "NamespaceNotAllowed";
    /// On JoinTokenRequests: the expiry is no duration.
    pub const INVALID_EXPIRY: &str = "InvalidExpiry";
    /// On JoinTokenRequests: there is a Secret of that name which is not the request's.
    pub const SECRET_EXISTS: &str = "SecretExists";

    /// On K0smotronControlPlanes: the hosted Cluster that is to be made exists and is somebody else's.
    pub const NAME_TAKEN: &str = "NameTaken";

    /// On Machines: nothing but pre-terminate hooks holds the deletion any more (the spelling of Cluster API).
    pub const WAITING_FOR_PRE_TERMINATE_HOOK: &str = "WaitingForPreTerminateHook";

    /// Bootstrap data could not be made; the message says why.
    pub const DATA_SECRET_GENERATION_FAILED: &str = "DataSecretGenerationFailed";
    /// A file's content could not be read from its Secret or ConfigMap.
    pub const CONTENT_SOURCE_NOT_FOUND: &str = "ContentSourceNotFound";
    /// The version cannot be read.
    pub const INVALID_VERSION: &str = "InvalidVersion";

    /// The infrastructure is there.
    pub const PROVISIONED: &str = "Provisioned";
    /// The infrastructure is not there.
    pub const NOT_PROVISIONED: &str = "NotProvisioned";
    /// The bootstrap data is being run on the host.
    pub const PROVISIONING: &str = "Provisioning";
    /// The join token was revoked, because the machine has joined.
    pub const JOIN_TOKEN_REVOKED: &str = "JoinTokenRevoked";
    /// The bootstrap data has been run on the host.
    pub const BOOTSTRAP_EXEC_SUCCEEDED: &str = "BootstrapExecSucceeded";
    /// Running the bootstrap data has failed.
    pub const PROVISION_FAILED: &str = "ProvisionFailed";
    /// The host does not answer.
    pub const HOST_UNREACHABLE: &str = "HostUnreachable";
    /// The host shows another key than the one that was kept.
    pub const HOST_KEY_MISMATCH: &str = "HostKeyMismatch";
    /// The host refuses the user or the key.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The user may not become root on the host.
    pub const ELEVATION_REFUSED: &str = "ElevationRefused";
    /// A command on the host has failed.
    pub const COMMAND_FAILED: &str = "CommandFailed";
    /// A command on the host has not ended in time.
    pub const COMMAND_TIMED_OUT: &str = "CommandTimedOut";
    /// The Secret with the SSH key does not exist or holds none.
    pub const SSH_KEY_NOT_FOUND: &str = "SSHKeyNotFound";
    /// The Secret with the password for sudo does not exist or holds none.
    pub const PASSWORD_NOT_FOUND: &str = "PasswordNotFound";
    /// The password for sudo cannot be given to it.
    pub const INVALID_PASSWORD: &str = "InvalidPassword";
    /// The SSH key cannot be read.
    pub const SSH_KEY_INVALID: &str = "SSHKeyInvalid";
    /// The bootstrap data cannot be read.
    pub const INVALID_BOOTSTRAP_DATA: &str = "InvalidBootstrapData";
    /// Every host of the pool is taken, or the pool has none.
    pub const NO_FREE_HOST: &str = "NoFreePooledMachine";
    /// The host is in use by another machine.
    pub const HOST_IN_USE: &str = "HostInUse";
    /// Address or key are missing.
    pub const MISSING_FIELDS: &str = "MissingFields";
    /// The host is being cleaned up.
    pub const CLEANING_UP: &str = "CleaningUp";
    /// Nothing of the machine is left on its host.
    pub const CLEANED_UP: &str = "CleanedUp";
    /// Cleaning the host up has failed.
    pub const CLEAN_UP_FAILED: &str = "CleanUpFailed";
    /// The host is free.
    pub const FREE: &str = "Free";
    /// The host is taken.
    pub const RESERVED: &str = "Reserved";
}
