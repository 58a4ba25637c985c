//! Bootstrap data in the format that was asked for, and whether it is small enough for where it goes. Pure.

use k0smotron_api::bootstrap::v1beta2::{Platform, ProvisionerSpec, ProvisionerType};
use k0smotron_k0s::{
    cloud_config::{self, CustomError},
    ignition::{self, IgnitionError},
    plan::{InstallPlan, PermissionsError, Steps},
    powershell,
};
use k0smotron_runtime::gates::FeatureGates;

/// What the data of a Secret may come to, in bytes (Kubernetes: `MaxSecretSize`), less what else there is in ours.
const MAX_SECRET: usize = 1024 * 1024 - 1024;

/// What clouds take as user data before it is encoded, in bytes, as they document it. Infrastructure providers may have
/// other ways for more, such as an object store.
const CLOUDS: [(&str, usize); 5] = [
    ("Amazon EC2", 16 * 1024),
    ("Hetzner Cloud", 32 * 1024),
    // 65535 bytes in base64.
    ("OpenStack", 65535 / 4 * 3),
    ("Azure, DigitalOcean", 64 * 1024),
    ("Google Cloud", 256 * 1024),
];

/// Bootstrap data.
pub struct Payload {
    pub format: ProvisionerType,
    pub text: String,
}

/// Why there is no bootstrap data.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("the cloud-config cannot be made: {0}")]
    CloudConfig(CustomError),
    #[error(
        "the bootstrap data comes to {0} bytes, more than a Secret may hold (1 MiB): fetch large files with a command"
    )]
    TooLarge(usize),
    #[error("the Ignition config cannot be made: {0}")]
    Ignition(IgnitionError),
    #[error("provisioner.type ignition needs provisioner.ignition with a variant and a version of Butane")]
    NoIgnition,
    #[error("Ignition has no custom user data: use provisioner.ignition.additionalConfig, in Butane")]
    NoCustomUserData,
    #[error("the PowerShell script cannot be made: {0}")]
    PowerShell(PermissionsError),
    #[error("provisioner.type {0} is not for platform {1}")]
    Platform(&'static str, &'static str),
}

/// Makes the data of these steps; `custom` is the user's own user data.
///
/// # Errors
/// What was asked for cannot be said in that format, or is too large for any way to a host.
pub fn make(
    provisioner: Option<&ProvisionerSpec>,
    steps: Steps,
    custom: Option<&str>,
    gates: FeatureGates,
) -> Result<Payload, PayloadError> {
    let format = provisioner
        .map(|provisioner| provisioner.type_)
        .unwrap_or_default();
    let platform = provisioner
        .map(|provisioner| provisioner.platform)
        .unwrap_or_default();
    let text = match (format, platform) {
        (ProvisionerType::CloudConfig, platform) => match custom {
            Some(custom) if gates.cloud_init_vars && platform == Platform::Linux => {
                cloud_config::render_variables(&steps, custom)
            }
            custom => cloud_config::render(&steps.into(), custom).map_err(PayloadError::CloudConfig)?,
        },
        (ProvisionerType::Ignition, Platform::Linux) => ignition(provisioner, &steps.into(), custom)?,
        (ProvisionerType::Powershell, Platform::Windows) => {
            powershell::render(&steps.into(), custom).map_err(PayloadError::PowerShell)?
        }
        (ProvisionerType::PowershellXml, Platform::Windows) => {
            powershell::render_xml(&steps.into(), custom).map_err(PayloadError::PowerShell)?
        }
        (format, Platform::Linux) => return Err(PayloadError::Platform(format.as_str(), "linux")),
        (format, Platform::Windows) => return Err(PayloadError::Platform(format.as_str(), "windows")),
    };
    if text.len() > MAX_SECRET {
        return Err(PayloadError::TooLarge(text.len()));
    }
    Ok(Payload { format, text })
}

fn ignition(
    provisioner: Option<&ProvisionerSpec>,
    plan: &InstallPlan,
    custom: Option<&str>,
) -> Result<String, PayloadError> {
    let settings = provisioner.and_then(|provisioner| provisioner.ignition.as_ref());
    let settings = settings.ok_or(PayloadError::NoIgnition)?;
    if custom.is_some() {
        return Err(PayloadError::NoCustomUserData);
    }
    let additional = settings.additional_config.as_deref();
    ignition::render(plan, settings.variant.as_str(), &settings.version, additional)
        .map_err(PayloadError::Ignition)
}

/// Which clouds may refuse data of this many bytes, in words for an Event.
pub fn too_large_for(bytes: usize) -> Option<String> {
    let clouds: Vec<_> = CLOUDS
        .iter()
        .filter(|(_, limit)| bytes > *limit)
        .map(|(cloud, limit)| format!("{cloud} ({} KiB)", limit / 1024))
        .collect();
    (!clouds.is_empty()).then(|| {
        format!(
            "bootstrap data of {bytes} bytes is more than these take as user data: {}; fetch large files with a command \
             if the machine does not come up",
            clouds.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use k0smotron_k0s::plan::File;

    use super::*;

    fn steps(content: &str) -> Steps {
        Steps {
            files: vec![File::new("/a", content, "")],
            ..Steps::default()
        }
    }

    fn cloud_config(
        content: &str,
        custom: Option<&str>,
        cloud_init_vars: bool,
    ) -> Result<Payload, PayloadError> {
        let gates = FeatureGates {
            cloud_init_vars,
            ..FeatureGates::default()
        };
        make(None, steps(content), custom, gates)
    }

    #[test]
    fn the_gate_matters_only_where_there_is_custom_user_data() {
        let plain = cloud_config("x", None, false).unwrap();
        assert_eq!(plain.format.as_str(), "cloud-config");
        assert_eq!(cloud_config("x", None, true).unwrap().text, plain.text);
        let custom = Some("runcmd: []\n");
        assert!(
            cloud_config("x", custom, false)
                .unwrap()
                .text
                .starts_with(plain.text.trim_end())
        );
        let variables = cloud_config("x", custom, true).unwrap().text;
        assert!(
            variables.contains("set k0smotron_files = [{'path': '/a'"),
            "{variables}"
        );
    }

    #[test]
    fn the_format_is_the_one_that_was_asked_for() {
        let made = |provisioner: &str, custom: Option<&str>| {
            let provisioner: ProvisionerSpec = serde_yaml::from_str(&format!("{{{provisioner}}}")).unwrap();
            let made = make(Some(&provisioner), steps("x"), custom, FeatureGates::default());
            made.map(|payload| payload.text)
                .map_err(|error| error.to_string())
        };
        let butane = "type: ignition, ignition: {variant: flatcar, version: 1.1.0}";
        for (provisioner, begin) in [
            ("type: cloud-config", "## template: jinja\n#cloud-config\n"),
            (
                "type: cloud-config, platform: windows",
                "## template: jinja\n#cloud-config\n",
            ),
            (butane, "{\"ignition\":{"),
            ("type: powershell, platform: windows", "[System.IO.Directory]"),
            ("type: powershell-xml, platform: windows", "<powershell>\n"),
        ] {
            assert!(
                made(provisioner, None).unwrap().starts_with(begin),
                "{provisioner}"
            );
        }
        for (provisioner, custom, expected) in [
            ("type: ignition", None, "needs provisioner.ignition"),
            (
                butane,
                Some("runcmd: []"),
                "use provisioner.ignition.additionalConfig",
            ),
            (
                "type: powershell",
                None,
                "provisioner.type powershell is not for platform linux",
            ),
            (
                "type: ignition, platform: windows",
                None,
                "provisioner.type ignition is not for platform windows",
            ),
        ] {
            let error = made(provisioner, custom).unwrap_err();
            assert!(error.contains(expected), "{provisioner}: {error}");
        }
    }

    #[test]
    fn size_is_checked_against_what_carries_it() {
        // Text that does not become smaller.
        let mut state = 1_u64;
        let random: String = (0..1_100_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
            })
            .collect();
        let error = cloud_config(&random, None, false).err().unwrap();
        assert!(
            error.to_string().contains("more than a Secret may hold"),
            "{error}"
        );
        assert_eq!(too_large_for(16 * 1024), None);
        let note = too_large_for(50_000).unwrap();
        assert!(
            note.contains("Amazon EC2 (16 KiB), Hetzner Cloud (32 KiB), OpenStack (47 KiB);"),
            "{note}"
        );
    }
}
