//! What taking over does to the definition of a kind. Pure.

use k0smotron_api::conversion::Version;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::Effect;

/// What taking over does to the definition of a kind.
pub(super) fn of_definition(installed: &CustomResourceDefinition) -> Vec<Effect> {
    let mut effects = Vec::new();
    let stored = installed
        .status
        .iter()
        .flat_map(|status| status.stored_versions.iter().flatten());
    if stored.clone().any(|version| version != Version::V1Beta2.as_str()) {
        let stored: Vec<_> = stored.map(String::as_str).collect();
        effects.push(Effect::Rewrite(format!(
            "objects are stored as {}; the manager writes each once as {}, with the same content",
            stored.join(" and "),
            Version::V1Beta2.as_str()
        )));
    }
    if installed
        .annotations()
        .contains_key("cert-manager.io/inject-ca-from")
    {
        effects.push(Effect::Note(
            "cert-manager injects the CA of its conversion; the manager brings its own, so remove the Certificate afterwards".to_owned(),
        ));
    }
    effects
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionStatus;

    use super::*;

    #[test]
    fn definitions_say_how_objects_are_stored() {
        let mut crd = k0smotron_api::crds().remove(0);
        let mut effects = |versions: &[&str]| {
            let status = CustomResourceDefinitionStatus {
                stored_versions: Some(versions.iter().map(|version| (*version).to_owned()).collect()),
                ..CustomResourceDefinitionStatus::default()
            };
            crd.status = Some(status);
            of_definition(&crd)
        };
        assert_eq!(effects(&["v1beta2"]), []);
        let [Effect::Rewrite(why)] = &effects(&["v1beta1", "v1beta2"])[..] else {
            panic!("one effect")
        };
        assert!(why.contains("v1beta1 and v1beta2"), "{why}");
    }
}
